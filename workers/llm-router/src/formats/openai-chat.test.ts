import { describe, expect, it } from 'vitest'
import { openAiChat } from './openai-chat.ts'
import { readEvents, translationFor } from './read-stream.fixture.ts'

interface Delta {
  index?: unknown
  id?: unknown
  name?: unknown
  args?: unknown
}

/** One event with these pieces of calls. */
const piece = (...deltas: Delta[]) => ({
  choices: [
    {
      index: 0,
      delta: {
        tool_calls: deltas.map(({ name, args, ...rest }) => ({
          ...rest,
          type: 'function',
          function: { ...(name === undefined ? {} : { name }), ...(args === undefined ? {} : { arguments: args }) },
        })),
      },
      finish_reason: null,
    },
  ],
})
const end = (finish: unknown = 'tool_calls') => ({ choices: [{ index: 0, delta: {}, finish_reason: finish }] })

function read(...events: (object | string)[]) {
  return readEvents(openAiChat, translationFor('a::b', 'c::d'), events)
}

function calls(...events: (object | string)[]) {
  const answer = read(...events, end(), '[DONE]')!
  expect(answer.frames).toEqual(answer.parts)
  return answer.parts.map((part) => (part.type === 'toolCall' ? [part.id, part.arguments] : part))
}

const both = [
  ['a::b', { n: 1 }],
  ['c::d', { n: 2 }],
]

describe('streamed tool calls', () => {
  it.each<[string, object[]]>([
    [
      'a new id begins a new call, also under an index that was used',
      [
        piece({ index: 0, id: '1', name: 'a__b', args: '{"n":1}' }),
        piece({ index: 0, id: '2', name: 'c__d', args: '{"n":2}' }),
      ],
    ],
    [
      'so it does where its arguments follow in pieces',
      [
        piece({ index: 0, id: '1', name: 'a__b', args: '' }),
        piece({ index: 0, args: '{"n":' }),
        piece({ index: 0, args: '1}' }),
        piece({ index: 0, id: '2', name: 'c__d', args: '' }),
        piece({ index: 0, args: '{"n"' }),
        piece({ index: 0, args: ':2}' }),
      ],
    ],
    [
      'pieces of two indices may come mixed',
      [
        piece({ index: 0, id: '1', name: 'a__b' }, { index: 1, id: '2', name: 'c__d' }),
        piece({ index: 1, args: '{"n":' }, { index: 0, args: '{"n"' }),
        piece({ index: 0, args: ':1}' }, { index: 1, args: '2}' }),
      ],
    ],
    [
      'a name that is repeated with each piece is set, not added to',
      [
        piece({ index: 0, id: '1', name: 'a__b', args: '{"n"' }),
        piece({ index: 0, id: '1', name: 'a__b', args: ':1}' }),
        piece({ index: 1, id: '2', name: 'c__d', args: '{"n"' }),
        piece({ index: 1, id: '2', name: 'c__d', args: ':2}' }),
      ],
    ],
    [
      'without an index the id says which call it is',
      [
        piece({ id: '1', name: 'a__b', args: '{"n"' }),
        piece({ id: '1', args: ':1' }),
        piece({ id: '2', name: 'c__d', args: '{"n":2' }),
        piece({ id: '1', args: '}' }, { id: '2', args: '}' }),
      ],
    ],
    [
      'an empty id, a null one or none, without an index, goes on with the last call',
      [
        piece({ id: '1', name: 'a__b', args: '{' }),
        piece({ id: '', args: '"n"' }),
        piece({ id: null, index: null, args: ':' }),
        piece({ args: '1}' }),
        piece({ id: '2', name: 'c__d', args: '{"n":2}' }),
      ],
    ],
    [
      'an empty id with an index is no new id',
      [
        piece({ index: 0, id: '1', name: 'a__b', args: '{"n"' }),
        piece({ index: 0, id: '', name: '', args: ':1}' }),
        piece({ index: 1, id: '2', name: 'c__d', args: '{"n"' }),
        piece({ index: 1, id: null, name: null, args: ':2}' }),
      ],
    ],
    [
      'whole calls without index and id are one each',
      [piece({ name: 'a__b', args: '{"n":1}' }, { name: 'c__d', args: { n: 2 } })],
    ],
    [
      'so they are one event behind the other',
      [piece({ name: 'a__b', args: { n: 1 } }), piece({ index: 0, name: 'c__d', args: '{"n":2}' })],
    ],
    [
      'another name begins a new call behind whole arguments, where ids and numbers are missing',
      [
        piece({ name: 'a__b', args: '' }),
        piece({ args: '{"n":1}' }),
        piece({ name: 'c__d', args: '' }),
        piece({ args: '{"n":2}' }),
      ],
    ],
    [
      'so it does where all calls have one id',
      [piece({ id: '1', name: 'a__b', args: '{"n":1}' }, { id: '1', name: 'c__d', args: '{"n":2}' })],
    ],
    [
      'so it does where all calls have one id and one number',
      [
        piece({ index: 0, id: '1', name: 'a__b', args: '{"n":1}' }),
        piece({ index: 0, id: '1', name: 'c__d', args: '{"n"' }),
        piece({ index: 0, id: '1', name: 'c__d', args: ':2}' }),
      ],
    ],
    [
      'an id may come late',
      [
        piece({ index: 0, name: 'a__b' }),
        piece({ index: 0, id: '1', args: '{"n":1}' }),
        piece({ index: 1, id: '2', name: 'c__d', args: '{"n":2}' }),
      ],
    ],
  ])('are told apart: %s', (_, events) => {
    expect(calls(...events)).toEqual(both)
  })

  it.each([[{}], [{ index: 0 }], [{ index: 0, id: '1' }]])(
    'without arguments are one for each name, where they share %j',
    (shared) => {
      const named = (name: string) => piece({ ...shared, name, args: '' })
      const expected = [
        ['a::b', {}],
        ['c::d', {}],
      ]
      expect(calls(named('a__b'), named('a__b'), named('c__d'), piece({ ...shared, args: '' }))).toEqual(expected)
    },
  )

  it('are pieces of one call where nothing but arguments comes', () => {
    expect(calls(piece({ name: 'a__b' }), piece({ args: '{"n"' }), piece({ args: ':1}' }))).toEqual([both[0]])
  })

  it('are kept where they come behind the reason to stop', () => {
    const answer = read(end(), piece({ index: 0, id: '1', name: 'a__b', args: '{"n":1}' }), '[DONE]')
    expect(answer).toMatchObject({ parts: [{ id: 'a::b', arguments: { n: 1 } }], stopReason: 'tool_calls' })
    expect(answer?.frames).toHaveLength(1)
  })
})

describe('an answer of which the end is missing', () => {
  const text = (content: string, finish: unknown) => ({
    choices: [{ index: 0, delta: { content }, finish_reason: finish }],
  })

  it.each([[''], [null]])('is torn, however often a reason of %j was told', (finish) => {
    expect(read(text('half a', finish), text(' sentence', finish))).toBeUndefined()
  })

  it('is whole where a reason follows the empty ones', () => {
    expect(read(text('all of', ''), text(' it', 'stop'))).toMatchObject({ stopReason: 'stop' })
  })
})
