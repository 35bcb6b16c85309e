import type * as z from 'zod'

/** Names of functions as OpenAI, Anthropic and Gemini all take them. */
export const TOOL_NAME = /^[a-zA-Z_][a-zA-Z0-9_-]{0,63}$/

/** The first mistake of a body in words, or undefined; unknown fields are named as such. */
export function firstMistake(
  schema: z.ZodType,
  body: unknown,
): { path: string; message: string; unknown: boolean } | undefined {
  const result = schema.safeParse(body)
  if (result.success) return undefined
  let [issue] = result.error.issues
  let path = [...issue!.path]
  // In a union the branch that got furthest says what is wrong.
  while (issue?.code === 'invalid_union' && issue.errors.length > 0) {
    const branches = issue.errors.filter((branch) => branch.length > 0)
    const [deepest] = branches.sort((a, b) => depth(b) - depth(a))
    if (!deepest?.[0]) break
    issue = deepest[0]
    path = [...path, ...issue.path]
  }
  if (issue?.code === 'unrecognized_keys') {
    return { path: [...path, issue.keys[0]!].join('.'), message: 'Extra inputs are not permitted', unknown: true }
  }
  return { path: path.join('.'), message: issue?.message ?? 'invalid', unknown: false }
}

function depth(issues: readonly { path: PropertyKey[]; code?: string | undefined }[]): number {
  return Math.max(...issues.map(({ path, code }) => path.length + (code === 'unrecognized_keys' ? 1 : 0)))
}
