import { setTimeout as delay } from 'node:timers/promises'

/** Resolves with `true` once it holds, with `false` where it does not within this time. What it throws counts as no. */
export async function until(holds: () => unknown, limitMs: number, everyMs = 10): Promise<boolean> {
  const end = performance.now() + limitMs
  for (;;) {
    try {
      if (await holds()) return true
    } catch {
      // Not yet: for example the engine is away.
    }
    if (performance.now() >= end) return false
    await delay(everyMs)
  }
}

/** How a call ended: with a value, with an error's code, or not at all within this time. */
export type Ending<T = unknown> = { ms: number } & ({ value: T } | { code: string; error: Error } | { hung: true })

export async function endingOf<T>(call: Promise<T>, limitMs: number): Promise<Ending<T>> {
  const began = performance.now()
  const ms = (): number => performance.now() - began
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(resolve, limitMs, 'late')
  })
  try {
    const first = await Promise.race([call.then((value) => ({ value })), late])
    if (first === 'late') return { ms: ms(), hung: true }
    return { ms: ms(), value: first.value }
  } catch (error) {
    const { code } = error as { code?: unknown }
    return { ms: ms(), code: typeof code === 'string' ? code : 'untyped', error: error as Error }
  } finally {
    clearTimeout(timer)
  }
}

/** Any code of an error that a caller can act on; `untyped` and these are none. */
export function isTyped(code: string): boolean {
  return code !== 'untyped' && code !== 'UNKNOWN' && code !== 'internal'
}
