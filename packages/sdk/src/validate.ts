import type * as z from 'zod'
import type { FunctionContract } from './contract.ts'
import { AgentError } from './errors.ts'

const SHOWN_ISSUES = 3
const MOST_ISSUES = 20

/**
 * The input that a handler gets: checked once, here, with defaults filled in. What others put beside the input
 * (`_caller_worker_id` and whatever begins with `_`) is taken out first, since strict schemas refuse what they don't know.
 */
export function parseInput(contract: FunctionContract, data: unknown): unknown {
  const result = contract.input().safeParse(withoutPrivateKeys(data ?? {}))
  if (result.success) return result.data
  const issues = describeIssues(result.error.issues)
  throw new AgentError('invalid_input', `${contract.id}: ${sentence(issues)}`, { details: { issues } })
}

/** Throws where a handler's output is not what its contract says; to be used in development and tests. */
export function assertOutput(contract: FunctionContract, output: unknown): void {
  // As the caller will get it: what JSON drops or rewrites does not count.
  const travelled: unknown = output === undefined ? undefined : JSON.parse(JSON.stringify(output))
  const result = contract.output().safeParse(travelled)
  if (result.success) return
  const issues = describeIssues(result.error.issues)
  const message = `${contract.id} returned what its contract does not allow: ${sentence(issues)}`
  throw new AgentError('internal', message, { details: { issues } })
}

interface Issue {
  /** `items.0.name`; empty for the value itself. */
  path: string
  message: string
  code: string
}

function describeIssues(issues: readonly z.core.$ZodIssue[]): Issue[] {
  return issues.slice(0, MOST_ISSUES).map(({ path, message, code }) => ({
    path: path.map(String).join('.'),
    message,
    code: code ?? 'custom',
  }))
}

function sentence(issues: Issue[]): string {
  const shown = issues
    .slice(0, SHOWN_ISSUES)
    .map(({ path, message }) => (path === '' ? message : `${path}: ${message}`))
  const more = issues.length - shown.length
  return shown.join('; ') + (more > 0 ? `; and ${more} more` : '')
}

function withoutPrivateKeys(data: unknown): unknown {
  if (typeof data !== 'object' || data === null || Array.isArray(data)) return data
  const object = data as Record<string, unknown>
  for (const key of Object.keys(object)) if (key.startsWith('_')) delete object[key]
  return object
}
