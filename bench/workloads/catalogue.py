"""All workloads, by name."""
import arrays
import training

WORKLOADS = {workload.name: workload for workload in training.WORKLOADS + arrays.WORKLOADS}
