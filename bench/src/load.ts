import { quantile } from './statistics.ts'

export interface Load {
  /** Calls that wait for their answers at once. */
  inFlight: number
  ms: number
}

export interface Measured {
  perSecond: number
  /** Milliseconds. */
  p50: number
  p99: number
}

/** Keeps `inFlight` calls on their way for so long; all that were begun count, up to the last answer. */
export async function drive(call: (index: number) => Promise<unknown>, { inFlight, ms }: Load): Promise<Measured> {
  const latencies: number[] = []
  const begin = performance.now()
  const end = begin + ms
  let index = 0
  const loop = async (): Promise<void> => {
    for (let at = performance.now(); at < end; ) {
      await call(index++)
      const now = performance.now()
      latencies.push(now - at)
      at = now
    }
  }
  await Promise.all(Array.from({ length: inFlight }, loop))
  const seconds = (performance.now() - begin) / 1_000
  return { perSecond: latencies.length / seconds, p50: quantile(latencies, 0.5), p99: quantile(latencies, 0.99) }
}

/** So many bytes of JSON: records with texts, numbers and a list, as the rows of a result are. */
export function payloadOf(bytes: number): object {
  const records: object[] = []
  const padded = (pad: string) => ({ records, text: pad })
  for (let left = bytes - JSON.stringify(padded('')).length; ; ) {
    const record = {
      id: records.length,
      title: `Entry ${records.length} of the log`,
      text: 'The quick brown fox jumps over the lazy dog, "twice".\n',
      score: (records.length * 7919) / 1_000,
      tags: ['a', 'log'],
    }
    const length = JSON.stringify(record).length + 1
    if (length > left) return padded('x'.repeat(left))
    records.push(record)
    left -= length
  }
}
