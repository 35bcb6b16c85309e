import { createHash } from 'node:crypto'

const LIMIT = 64

/**
 * Function ids as names that every provider takes (letters, digits, `_`, `-`, at most 64, no digit in front) and back.
 * The same id always has the same name, so a cached prompt stays cached; only an id that cannot be read back from its
 * plain form carries a hash.
 */
export class ToolNames {
  private readonly ids = new Map<string, string>()

  /** `offered`: what the model may call; `spoken`: ids of earlier calls in the conversation. */
  constructor(offered: Iterable<string>, spoken: Iterable<string> = []) {
    for (const id of [...spoken, ...offered]) this.ids.set(toolName(id), id)
  }

  name(id: string): string {
    return toolName(id)
  }

  /** The id behind a name that a model used, even one that it made up. */
  id(name: string): string {
    return this.ids.get(name) ?? name.replaceAll('__', '::')
  }
}

export function toolName(id: string): string {
  const plain = id.replaceAll('::', '__')
  const readable = !id.includes('__') && !/_:|:_/.test(id) && /^[A-Za-z][A-Za-z0-9_-]*$/.test(plain)
  if (readable && plain.length <= LIMIT) return plain
  const hash = createHash('sha256').update(id).digest('hex').slice(0, 10)
  const letters = plain.replace(/[^A-Za-z0-9_-]/g, '_').replace(/^[^A-Za-z]+/, '')
  return `${letters.slice(0, LIMIT - hash.length - 1) || 'tool'}_${hash}`
}
