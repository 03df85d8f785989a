"""ONNX Runtime serves a network of three layers: batches of changing sizes, sessions from threads."""
import concurrent.futures

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

random = numpy.random.default_rng(1)
WIDTHS = [64, 256, 256, 10]
nodes, weights, last = [], [], "x"
for i in range(3):
    shape = WIDTHS[i:i + 2]
    values = random.standard_normal(shape, dtype="float32") / 8
    weights.append(numpy_helper.from_array(values, f"w{i}"))
    nodes.append(helper.make_node("MatMul", [last, f"w{i}"], [f"z{i}"]))
    nodes.append(helper.make_node("Relu", [f"z{i}"], [f"a{i}"]))
    last = f"a{i}"
graph = helper.make_graph(
    nodes, "network", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])],
    [helper.make_tensor_value_info(last, TensorProto.FLOAT, ["n", 10])], weights)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
onnx.checker.check_model(model)

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 2
session = onnxruntime.InferenceSession(model.SerializeToString(), options)
batches = [random.standard_normal((1 + n * 37 % 300, 64), dtype="float32") for n in range(400)]
with concurrent.futures.ThreadPoolExecutor(3) as executor:
    answers = executor.map(lambda x: session.run(None, {"x": x})[0].sum(dtype="float64"), batches)
    print(f"{sum(answers):.3f}")
for _ in range(20):
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    print(f"{session.run(None, {'x': batches[5]})[0].sum():.3f}")
