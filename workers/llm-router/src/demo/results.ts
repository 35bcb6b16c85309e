/** A function call of an earlier turn and what came of it. */
export interface ToolOutcome {
  id: string
  arguments: Record<string, unknown>
  text: string
  failed: boolean
}

const SHOWN = 2_000

/** The answer that the results of the last calls make up. */
export function answerFromResults(outcomes: readonly ToolOutcome[]): string {
  return outcomes.map(sentence).join('\n\n')
}

function sentence(outcome: ToolOutcome): string {
  const { id, text, failed } = outcome
  if (failed) return `${id} failed: ${shown(text)}`
  const value = parsed(text)
  if (id === 'memory::store' && isObject(value)) {
    const content = String(outcome.arguments.content)
    if (value.deduplicated === true) return `I knew that already: ${content}`
    if (value.redacted === true) return 'I will remember that, without what looks like a key or a password in it.'
    if (value.stored === true) return `I will remember: ${content}`
  }
  if (id === 'memory::search' || id === 'memory::recall') return memories(outcome, value)
  if (id === 'agent::find_functions') return functions(outcome, value)
  return `${id} answered:\n${shown(value === undefined ? text : JSON.stringify(value, null, 2))}`
}

function memories({ arguments: { query } }: ToolOutcome, value: unknown): string {
  const hits = (Array.isArray(value) ? value : []) as { content?: unknown }[]
  const contents = [...new Set(hits.map(({ content }) => String(content ?? '').trim()))].filter(
    (content) => content !== '' && !/^(?:please\s+)?(?:tell me\s+)?what do you (?:know|remember)\b/i.test(content),
  )
  if (contents.length === 0) return `I know nothing about ${String(query)}.`
  return `This is what I know about ${String(query)}:\n${contents.map((content) => `- ${content}`).join('\n')}`
}

function functions({ arguments: { query } }: ToolOutcome, value: unknown): string {
  const { functions: found } = (value ?? {}) as {
    functions?: { id?: unknown; description?: unknown; summary?: unknown }[]
  }
  if (!Array.isArray(found) || found.length === 0) return `I found no function for "${String(query)}".`
  const lines = found.map(({ id, description, summary }) => `- ${String(id)}: ${String(description ?? summary ?? '')}`)
  return `These functions fit "${String(query)}":\n${lines.join('\n')}`
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function shown(text: string): string {
  return text.length > SHOWN ? `${text.slice(0, SHOWN)} …` : text
}
