import { describe, expect, it } from 'vitest'
import { parseInput } from './call.ts'
import { matching } from './functions.ts'
import { pidsOf } from './pid.ts'
import { sameAs } from './runs.ts'
import { clockNote, mergeStatus } from './status.ts'

describe('the input of a call', () => {
  it.each([
    [[], {}],
    [['{"a":1}'], { a: 1 }],
    [['[1]'], [1]],
    [
      ['agentId=default', 'limit=5', 'deep=true', 'query=a dog'],
      { agentId: 'default', limit: 5, deep: true, query: 'a dog' },
    ],
    [['{"a":1,"b":2}', 'b=3'], { a: 1, b: 3 }],
    [['filter.tag=x', 'filter.max=2'], { filter: { tag: 'x', max: 2 } }],
    [['zip:=01234', 'n:=5'], { zip: '01234', n: '5' }],
    [['list=["a"]', 'empty='], { list: ['a'], empty: '' }],
  ])('%j is %j', (words, input) => {
    expect(parseInput(words)).toEqual(input)
  })

  it.each([
    [['{a:1}'], /not JSON/],
    [['a=1', 'word'], /neither key=value/],
    [['[1]', 'a=1'], /JSON object/],
  ])('%j is refused', (words, why) => {
    expect(() => parseInput(words)).toThrow(why)
  })

  it('does not reach a prototype', () => {
    parseInput(['__proto__.polluted=1', 'constructor.prototype.polluted=1'])
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined()
  })
})

describe('search', () => {
  it('finds every word, in id, worker or description', () => {
    const rows = [
      { id: 'memory::search', worker: 'memory', summary: 'Best matching memories' },
      { id: 'realm::get', worker: 'realm', summary: '' },
    ]
    expect(matching(rows, 'matching MEMORY').map((row) => row.id)).toEqual(['memory::search'])
    expect(matching(rows, '')).toHaveLength(2)
  })
})

describe('status', () => {
  const row = (name: string) => ({ name, pid: 7, status: 'up' as const, functions: ['a::b', 'a::c'], inFlight: 1 })

  it('shows a held worker that the engine cannot know of, and guests that the supervisor does not', () => {
    const held = { name: 'memory', state: 'held' as const, restarts: 4, since: 0, reason: 'exit code 1' }
    const engine = { name: 'engine', state: 'up' as const, restarts: 0, since: 0, pid: 1 }
    expect(mergeStatus([row('analyst')], [held, engine])).toEqual([
      { name: 'engine', state: 'up', restarts: 0, pid: 1 },
      { name: 'analyst', state: 'up', functions: 2, inFlight: 1, pid: 7 },
      { name: 'memory', state: 'held', restarts: 4, reason: 'exit code 1' },
    ])
  })

  it('tells what is wrong with a worker that runs: of its build, and of what it binds', () => {
    const built = { name: 'weather', state: 'up' as const, restarts: 0, since: 0, pid: 7, problem: 'does not build' }
    const connected = { ...row('weather'), problems: ['the cron trigger of a::b does not stand: x'] }
    expect(mergeStatus([connected], [built])).toMatchObject([
      { name: 'weather', state: 'up', problems: ['does not build', 'the cron trigger of a::b does not stand: x'] },
    ])
  })
})

describe('a clock that was set back', () => {
  const at_ms = Date.parse('2026-10-23T18:00:30.500Z')
  it.each([
    [30 * 24 * 3_600_000, '30 days'],
    [5 * 3_600_000, '5 hours'],
    [90 * 60_000, '90 minutes'],
    [2_000, '1 minute'],
  ])('is told in status: by %i ms', (by_ms, words) => {
    const told = `the clock was set back by ${words}, to 2026-10-23 18:00:30 UTC; schedules go on from there`
    expect(clockNote({ at_ms, by_ms })).toBe(told)
  })
})

describe('pid', () => {
  const process = (name: string, pid?: number) => ({
    name,
    state: pid === undefined ? ('asleep' as const) : ('up' as const),
    restarts: 0,
    since: 0,
    ...(pid === undefined ? {} : { pid }),
  })
  const processes = [process('engine', 1), process('memory', 2), process('memory.2', 3), process('toolbox')]

  it('names every process of a worker, and no other', () => {
    expect(pidsOf('memory', processes)).toEqual([2, 3])
    expect(pidsOf('engine', processes)).toEqual([1])
  })

  it('says that there is none instead of nothing', () => {
    expect(() => pidsOf('toolbox', processes)).toThrow('toolbox is asleep')
    expect(() => pidsOf('mem', processes)).toThrow('mem is not installed')
  })
})

it('a replay of a run that has no end says that there was no result to compare', () => {
  expect(sameAs({ resultEqual: true })).toContain('and the result')
  expect(sameAs({})).toContain('no result to compare')
})
