import { describe, expect, it } from 'vitest'
import type { Ending } from './contestant.ts'
import { answerOf, STEPS, toolOf } from './task.ts'
import { type Run, verdictOf } from './verdict.ts'
import type { Effect } from './world.ts'

const finished: Ending = { how: 'finished', answer: answerOf('one') }

function effects(): Effect[] {
  return Array.from({ length: STEPS - 1 }, (_, index) => index + 1)
    .filter((step) => toolOf(step) !== 'look_up')
    .map((step) => ({ tool: toolOf(step), step, key: `key-${step}` }))
}

function judge(ending: Run['ending'], change: Partial<Run['seen']> = {}, settled?: Ending) {
  const seen = { modelRequests: STEPS, toolRequests: STEPS - 1, effects: effects(), log: [], ...change }
  return verdictOf({ task: 'one', killed: 'the process', ending, settled, seen })
}

it('a run whose effects are all there, once, is clean', () => {
  expect(judge(finished)).toMatchObject({
    ended: 'finished',
    modelRequestsOver: 0,
    doubled: { charge: 0, notify: 0 },
    silentlyWrong: false,
  })
})

it('counts an effect that took place twice under its tool, and requests over the minimum', () => {
  const twice = [...effects(), { tool: 'notify', step: 3, key: 'other' }]
  expect(judge(finished, { effects: twice, modelRequests: STEPS + 2 })).toMatchObject({
    doubled: { charge: 0, notify: 1 },
    modelRequestsOver: 2,
    silentlyWrong: false,
  })
})

describe('silently wrong is a run that says it is done', () => {
  it('and left an effect out', () => {
    expect(judge(finished, { effects: effects().slice(1) }).silentlyWrong).toBe(true)
  })

  it('and did something that nobody asked for', () => {
    expect(judge(finished, { effects: [...effects(), { tool: 'charge', step: 3, key: 'k' }] }).silentlyWrong).toBe(true)
  })

  it('with another answer', () => {
    expect(judge({ how: 'finished', answer: 'Step 2 has no receipt' }).silentlyWrong).toBe(true)
  })

  it('but not one that says that it failed, waits for a person or never ends', () => {
    const half = { effects: [] }
    expect(judge({ how: 'failed', error: 'lost' }, half).silentlyWrong).toBe(false)
    expect(judge({ how: 'parked', question: '?' }, half).silentlyWrong).toBe(false)
    expect(judge('stuck', half).silentlyWrong).toBe(false)
  })

  it('also where a person had to answer first', () => {
    const verdict = judge({ how: 'parked', question: '?' }, { effects: effects().slice(1) }, finished)
    expect(verdict).toMatchObject({ ended: 'parked', afterAnswer: 'finished', silentlyWrong: true })
  })
})

it('an error is kept without its stack, which names folders of the machine', () => {
  expect(judge({ how: 'failed', error: 'TypeError: no\n    at /some/folder' }).said).toBe('TypeError: no')
})
