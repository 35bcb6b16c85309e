/** Steps of the durable run that is measured, the same on every side. */
export const RUN_STEPS = 10
