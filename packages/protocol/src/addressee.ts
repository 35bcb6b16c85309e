/** Who waits for something that a frame was to say: its caller, or the call that it was to end. */
export interface Addressee {
  type: 'invokefunction' | 'invocationresult'
  invocation_id: string
  function_id: string | undefined
}

const NAMES: readonly string[] = ['type', 'invocation_id', 'function_id']
export const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

/**
 * Whom a frame is about that was not taken, as far as its outermost texts can be read; whatever else is in it does not
 * matter. `undefined` where it is no frame of a call, or names one of these fields twice.
 */
export function addresseeOf(bytes: Buffer): Addressee | undefined {
  const { type, invocation_id, function_id } = outerTexts(bytes) ?? {}
  if (type !== 'invokefunction' && type !== 'invocationresult') return undefined
  if (invocation_id === undefined || !UUID.test(invocation_id)) return undefined
  return { type, invocation_id, function_id }
}

/** Texts of the outermost object by their names, up to where it can no longer be read. */
function outerTexts(bytes: Buffer): Record<string, string> | undefined {
  const texts: Record<string, string> = {}
  let depth = 0
  let key: string | undefined
  for (let at = 0; at < bytes.length; at++) {
    const char = bytes[at]
    if (char === 0x22) {
      const end = endOfString(bytes, at)
      if (depth === 1) {
        const text = textOf(bytes, at, end)
        if (text === undefined) return texts
        if (key === undefined) key = text
        else if (NAMES.includes(key)) {
          if (Object.hasOwn(texts, key)) return undefined
          texts[key] = text
        }
      }
      at = end - 1
    } else if (char === 0x7b || char === 0x5b) depth++
    else if (char === 0x7d || char === 0x5d) depth--
    else if (char === 0x2c && depth === 1) key = undefined
  }
  return texts
}

/** Behind the closing quote of the string that begins at `from`. */
function endOfString(bytes: Buffer, from: number): number {
  let at = from + 1
  while (at < bytes.length && bytes[at] !== 0x22) at += bytes[at] === 0x5c ? 2 : 1
  return at + 1
}

function textOf(bytes: Buffer, from: number, end: number): string | undefined {
  try {
    return JSON.parse(bytes.toString('utf8', from, end))
  } catch {
    return undefined
  }
}
