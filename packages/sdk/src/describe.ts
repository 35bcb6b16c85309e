import { readFile } from 'node:fs/promises'
import type { FunctionDescriptor, HttpBinding, WorkerDescriptor } from '@agentos/protocol'
import type { FunctionContract, HttpRoute } from './contract.ts'

/** Everything of a contract but its JSON Schemas, which cost zod's generator. */
export function describeContract(
  contract: FunctionContract,
): Omit<FunctionDescriptor, 'request_format' | 'response_format'> {
  const { id, summary, effects, idempotent = false, keyed = false, durable = false } = contract
  const { checkedBy, tool = false, access = 'guest', http = [] } = contract
  return {
    id,
    summary,
    ...(typeof effects === 'string' ? { effects } : { effects: 'varies' as const, effects_by: effects }),
    idempotent,
    ...(keyed ? { keyed } : {}),
    ...(durable ? { durable } : {}),
    ...(checkedBy === undefined ? {} : { checked_by: checkedBy }),
    tool,
    access,
    http: (Array.isArray(http) ? http : [http]).map((route) => describeRoute(id, route)),
  }
}

/** The JSON Schemas of a contract; zod is loaded for it. */
export async function describeFormats(
  contract: FunctionContract,
): Promise<Pick<FunctionDescriptor, 'request_format' | 'response_format'>> {
  const { toJSONSchema } = await import('./json-schema.ts')
  return {
    request_format: toJSONSchema(contract.input(), { io: 'input', unrepresentable: 'any' }),
    response_format: toJSONSchema(contract.output(), { io: 'output', unrepresentable: 'any' }),
  }
}

/** A built descriptor, given as itself or as the path of its file. */
export async function loadDescriptor(
  descriptor: WorkerDescriptor | string | undefined,
): Promise<WorkerDescriptor | undefined> {
  if (typeof descriptor !== 'string') return descriptor
  return JSON.parse(await readFile(descriptor, 'utf8')) as WorkerDescriptor
}

function describeRoute(functionId: string, http: HttpRoute): HttpBinding {
  const { route, status = 200, raw = false, stream = false } = typeof http === 'string' ? { route: http } : http
  const match = /^(GET|POST|PUT|PATCH|DELETE) (\/\S*)$/.exec(route)
  if (!match) throw new Error(`The route "${route}" of ${functionId} is not of the form "GET /v1/things/:id"`)
  return { method: match[1] as HttpBinding['method'], path: match[2]!, status, raw, stream }
}
