/*
 * meter.h - what libstepwell-meter.so (meter.c) tells a program that finds these by dlsym. Growth
 * since sw_meter_start(), in bytes.
 */
#ifndef STEPWELL_METER_H
#define STEPWELL_METER_H

#include <stdint.h>

void sw_meter_start(void);
int64_t sw_meter_live(void);   /* requested, now */
int64_t sw_meter_peak(void);   /* requested, at its highest: LB */
int64_t sw_meter_mapped(void); /* resident in memory that others mapped for themselves */

#endif
