import type { AnswerBuilder } from '../answer.ts'

/** A piece of a call as servers of the chat format stream it; each field may be missing, null or empty. */
export interface CallPiece {
  index?: unknown
  id?: string | null
  function?: { name?: string | null; arguments?: unknown } | null
}

interface OpenCall {
  index: number | undefined
  id: string | undefined
  name: string
  args: string
}

/**
 * Puts streamed calls together. OpenAI names a call once and numbers its pieces; other servers number all calls 0, leave the
 * number out, or repeat id and name in each piece; a few give all calls one id, or none.
 */
export class StreamedCalls {
  private calls: OpenCall[] = []

  add(piece: CallPiece): void {
    const id = filled(piece.id)
    const name = filled(piece.function?.name)
    const given = piece.function?.arguments ?? ''
    const args = typeof given === 'string' ? given : JSON.stringify(given)
    const index = Number.isInteger(piece.index) ? (piece.index as number) : undefined
    const known = this.find(index, id)
    const call = known && !begins(known, { id, name, args }) ? known : this.open(index)
    call.id ??= id
    if (name !== undefined) call.name = name
    call.args += args
  }

  /** Hands all calls on in the order in which they began. */
  flush(builder: AnswerBuilder): void {
    for (const { id, name, args } of this.calls) builder.toolCall(id, name, args)
    this.calls = []
  }

  private open(index: number | undefined): OpenCall {
    const call: OpenCall = { index, id: undefined, name: '', args: '' }
    this.calls.push(call)
    return call
  }

  private find(index: number | undefined, id: string | undefined): OpenCall | undefined {
    if (index !== undefined) return this.calls.findLast((call) => call.index === index)
    if (id !== undefined) return this.calls.findLast((call) => call.id === id)
    return this.calls.at(-1)
  }
}

/** Whether a piece that seems to belong to `call` is the first of another one. */
function begins(
  call: OpenCall,
  { id, name, args }: { id: string | undefined; name: string | undefined; args: string },
): boolean {
  if (id !== undefined && call.id !== undefined && call.id !== id) return true
  // Nobody renames a call; what stands before the other name is whole, or has no arguments.
  const isRenamed = name !== undefined && call.name !== '' && call.name !== name
  if (isRenamed && (call.args.trim() === '' || isWhole(call.args))) return true
  if (id !== undefined) return false
  // Nothing but a name and whole arguments behind whole ones tells two calls without ids apart.
  return name !== undefined && args.trim() !== '' && isWhole(call.args)
}

function isWhole(args: string): boolean {
  if (!args.trimEnd().endsWith('}')) return false
  try {
    JSON.parse(args)
    return true
  } catch {
    return false
  }
}

function filled(value: unknown): string | undefined {
  if (typeof value === 'number') return String(value)
  return typeof value === 'string' && value !== '' ? value : undefined
}
