import { defineFunction } from '@agentos/sdk/contract'
import * as z from 'zod'
import { TOOLS, type ToolName } from '../src/task.ts'

const contractOf = (name: ToolName, more: { effects: 'read' | 'external'; keyed?: boolean }) =>
  defineFunction({
    id: `unplug::${name}`,
    summary: TOOLS.find((each) => each.name === name)!.description,
    input: () => z.strictObject({ task: z.string(), step: z.number().int() }),
    output: () => z.object({ receipt: z.string() }),
    tool: true,
    ...more,
  })

export const lookUp = contractOf('look_up', { effects: 'read' })
/** The service takes a key: the engine's own, the same whenever the step is made again. */
export const charge = contractOf('charge', { effects: 'external', keyed: true })
export const notify = contractOf('notify', { effects: 'external' })
