import { type Load, payloadOf } from './load.ts'
import { serveParent } from './peer.ts'

/** What a worker's process is asked: to answer when it has done so many jobs since it was asked last. */
export interface JobsQuestion {
  count: number
}

/** A worker's side: counts the jobs that were done. */
export function serveJobs(): { done(data: unknown): void; ready(): void } {
  let done = 0
  let wake = () => {}
  return {
    done() {
      done += 1
      wake()
    },
    ready() {
      serveParent('serving', async ({ count }: JobsQuestion) => {
        while (done < count) await new Promise<void>((resolve) => (wake = resolve))
        done -= count
        return performance.timeOrigin + performance.now()
      })
    },
  }
}

/** What was put into a queue, and when that began. */
export interface Produced {
  count: number
  /** Milliseconds since the epoch. */
  began: number
}

/** A producer's side: `inFlight` producers for so long, each waiting until its job is on disk. */
export function serveProducer(add: (data: object) => Promise<unknown>): void {
  const data = payloadOf(100)
  serveParent('connected', async ({ inFlight, ms }: Load): Promise<Produced> => {
    let count = 0
    const began = performance.timeOrigin + performance.now()
    const end = performance.now() + ms
    const loop = async () => {
      while (performance.now() < end) {
        await add(data)
        count += 1
      }
    }
    await Promise.all(Array.from({ length: inFlight }, loop))
    return { count, began }
  })
}
