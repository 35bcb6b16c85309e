export { evaluate, type Value } from './evaluate.ts'
export { Unparsable } from './expression.ts'
export { type Computed, compute, computeWithin } from './question.ts'
export { NotANumber } from './rational.ts'
