import { createHash } from 'node:crypto'

const LIMIT = 64
/** What all providers take: letters, digits, `_`, `-`, at most 64, no digit in front. */
const TAKEN_BY_ALL = /^[A-Za-z_][A-Za-z0-9_-]{0,63}$/
/** The beginning of a name counts for it from so many letters on. */
const TELLING = 16

/**
 * Function ids as names that every provider takes, and back. An id that is such a name already keeps it, so the
 * functions of a client leave and come back as it named them; `::` becomes `__`. Only an id that cannot be read back
 * from its plain form carries a hash. The same id has the same name in every request that does not hold both `a::b` and
 * `a__b`, so a cached prompt stays cached.
 */
export class ToolNames {
  private readonly ids = new Map<string, string>()
  private readonly names = new Map<string, string>()
  private readonly namespaced: boolean

  /** `offered`: what the model may call; `spoken`: ids of earlier calls in the conversation. */
  constructor(offered: Iterable<string>, spoken: Iterable<string> = []) {
    const all = [...new Set([...spoken, ...offered])]
    const own = new Set(all.filter((id) => TAKEN_BY_ALL.test(id)))
    for (const id of all) {
      const name = own.has(id) ? id : toolName(id, own)
      this.names.set(id, name)
      this.ids.set(name, id)
    }
    this.namespaced = all.some((id) => id.includes('::'))
  }

  name(id: string): string {
    return this.names.get(id) ?? toolName(id, new Set())
  }

  /**
   * The id behind a name that a model used: exactly, else the one that a shortened name can only mean. A name that no
   * function has stays as it is, but for `__`, which among ids with a namespace is read as theirs.
   */
  id(name: string): string {
    const exact = this.ids.get(name) ?? (this.names.has(name) ? name : this.meant(name))
    return exact ?? (this.namespaced ? name.replaceAll('__', '::') : name)
  }

  /** Models leave out a hash, a namespace in front, or the end of a long name. */
  private meant(name: string): string | undefined {
    const plain = plainName(name)
    if (plain === '') return undefined
    const isMeant: ((wire: string, id: string) => boolean)[] = [
      (_wire, id) => plainName(id) === plain,
      (_wire, id) => plainName(id).endsWith(`__${plain}`),
      (wire) => plain.length >= TELLING && wire.startsWith(plain),
    ]
    for (const fits of isMeant) {
      const found = [...this.ids].filter(([wire, id]) => fits(wire, id))
      if (found.length > 0) return found.length === 1 ? found[0]![1] : undefined
    }
    return undefined
  }
}

function toolName(id: string, taken: ReadonlySet<string>): string {
  const plain = id.replaceAll('::', '__')
  const readable = !/__|_:|:_/.test(id) && /^[A-Za-z]/.test(plain) && TAKEN_BY_ALL.test(plain)
  if (TAKEN_BY_ALL.test(id) || (readable && !taken.has(plain))) return plain
  const hash = createHash('sha256').update(id).digest('hex').slice(0, 10)
  const letters = plainName(id).replace(/^[^A-Za-z]+/, '')
  return `${letters.slice(0, LIMIT - hash.length - 1) || 'tool'}_${hash}`
}

function plainName(id: string): string {
  return id.replaceAll('::', '__').replace(/[^A-Za-z0-9_-]/g, '_')
}
