/**
 * The task that every system is given. Ten steps, each one model request: nine ask for a tool, one after the other, and
 * the tenth is the answer. What a step asks for is decided by the simulated model, so nothing but the conversation that
 * a system kept tells it where it was.
 */
export const STEPS = 10

/** `look_up` reads; `charge` takes an idempotency key, as payment services do; `notify` takes none, as a mail server. */
export const TOOLS = [
  { name: 'look_up', description: 'Reads the order; changes nothing' },
  { name: 'charge', description: 'Charges the card; the service takes an idempotency key' },
  { name: 'notify', description: 'Sends a message; the service takes no key' },
] as const

export type ToolName = (typeof TOOLS)[number]['name']

export interface ToolArguments {
  task: string
  step: number
}

/** JSON Schema of every tool's arguments. */
export const ARGUMENTS_SCHEMA = {
  type: 'object',
  properties: { task: { type: 'string' }, step: { type: 'integer' } },
  required: ['task', 'step'],
  additionalProperties: false,
} as const

export const INSTRUCTIONS = 'You carry out orders with the tools, one call at a time, and say when all is done.'

/** What the user says; the task's name is how provider and tools tell runs apart. */
export function promptOf(task: string): string {
  return `Carry out <${task}>.`
}

export function taskOf(prompt: string): string | undefined {
  return /<([^>]+)>/.exec(prompt)?.[1]
}

/** The tool of a step, 1 to 9. */
export function toolOf(step: number): ToolName {
  return TOOLS[(step - 1) % TOOLS.length]!.name
}

/** What a tool answers, and the model looks for. */
export function receiptOf(tool: string, step: number): string {
  return `receipt-${tool}-${step}`
}

export function answerOf(task: string): string {
  return `All of ${task} is done.`
}
