import { describe, expect, it } from 'vitest'
import { Call } from './call.ts'
import { culpritOf } from './losses.ts'
import type { InvokeRequest } from './module.ts'

function call(functionId: string, more: Partial<InvokeRequest> & { run?: string; at?: number } = {}): Call {
  const { run, at = 0, ...rest } = more
  const context = {
    realm: 'r',
    principal: { kind: 'guest' as const, id: 'guest' },
    traceId: 't',
    ...(run ? { run } : {}),
  }
  const made = new Call(functionId, { functionId, payload: undefined, context, onResult() {}, ...rest }, 's', 0)
  made.handedOverAt = at
  return made
}

const job = (at = 0, losses = 0) => call('a::job', { handover: { losses }, at })
const run = (id: string) => call('a::run', { handover: { losses: 0 }, attempt: { number: 1, recorded: 0 }, run: id })

describe('the end of a process counts', () => {
  it('against the run or job that was handed over last', () => {
    const [first, second] = [job(), job()]
    expect(culpritOf([first, second], 60_000)).toBe(second)
    expect(culpritOf([], 0)).toBeUndefined()
  })

  it('against the one that is suspected least, of those that came at once', () => {
    const [first, second] = [job(0, 0), job(999, 1)]
    expect(culpritOf([first, second], 60_000)).toBe(first)
    const later = job(1_000, 1)
    expect(culpritOf([first, later], 60_000)).toBe(later)
  })

  it('against the run or job that a later call was made for, and no other', () => {
    const [first, other] = [job(), job()]
    const below = call('a::below')
    below.parent = first
    expect(culpritOf([first, other, below], 60_000)).toBe(first)
    const mine = run('run-1')
    expect(culpritOf([mine, run('run-2'), call('a::step', { run: 'run-1' })], 60_000)).toBe(mine)
  })

  it('against nobody where a plain call came last, more than a second after the last run or job', () => {
    const open = [job(10_000), call('a::plain')]
    expect(culpritOf(open, 10_999)).toBe(open[0])
    expect(culpritOf(open, 11_000)).toBeUndefined()
    // A call for a run that is open elsewhere is a plain one here.
    expect(culpritOf([job(), call('a::step', { run: 'run-9' })], 60_000)).toBeUndefined()
    expect(culpritOf([call('a::plain')], 0)).toBeUndefined()
  })
})
