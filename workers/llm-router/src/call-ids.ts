import { createHash, randomUUID } from 'node:crypto'

/** A call id as the provider takes it: its own ids unchanged, those of another provider shortened where they must be. */
export function wireCallId(callId: string, short: boolean): string {
  if (short) {
    return /^[A-Za-z0-9]{9}$/.test(callId) ? callId : createHash('sha256').update(callId).digest('hex').slice(0, 9)
  }
  return /^[A-Za-z0-9_-]{1,40}$/.test(callId)
    ? callId
    : `call_${createHash('sha256').update(callId).digest('hex').slice(0, 24)}`
}

/** For providers that give their calls no id. */
export function newCallId(): string {
  return `call_${randomUUID().replaceAll('-', '')}`
}

/** The id itself, or where it is used already the first of `id_2`, `id_3`, … that is not. */
export function unusedCallId(id: string, used: ReadonlySet<string>): string {
  let unused = id
  for (let count = 2; used.has(unused); count += 1) unused = `${id}_${count}`
  return unused
}
