import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { startCore } from '../../test/peers.ts'

const deep = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels)

/** A call or result whose payload is this text, with its id before or behind that. */
function frame(type: string, id: string, payload: string, idFirst = true): string {
  const head = `"invocation_id":"${id}","function_id":"f"`
  const carried = `"${type === 'invokefunction' ? 'data' : 'result'}":${payload}`
  return `{"type":"${type}",${idFirst ? `${head},${carried}` : `${carried},${head}`}}`
}

function peers() {
  const started = startCore()
  const [server, caller] = [started.guest(), started.guest()]
  server.register('f')
  return { server, caller }
}

const unreadable = [
  ['nested too deeply', deep(600), true],
  ['nested too deeply, in a large frame', deep(5_000), true],
  ['nested too deeply before its id, in a large frame', deep(5_000), false],
  ['a number that no double holds', '{"a":[1e400]}', true],
  ['a number that no double holds, in a large frame', `["${'x'.repeat(5_000)}",-1e400]`, true],
  ['no JSON', '{"a":tru}', true],
  ['cut off', '{"a":[', true],
] as const

describe('a frame that cannot be read', () => {
  it.each(unreadable)('is answered to its caller as invalid_input: %s', (_, payload, idFirst) => {
    const { server, caller } = peers()
    const id = randomUUID()
    caller.tellText(frame('invokefunction', id, payload, idFirst))
    expect(caller.result(id)?.error).toMatchObject({
      code: 'invalid_input',
      message: expect.stringMatching(/^The call cannot be read: ./),
    })
    expect(server.served).toEqual([])
  })

  it.each(unreadable)('as a result ends its call with serialization_error: %s', (_, payload, idFirst) => {
    const { server, caller } = peers()
    const id = caller.call('f')
    server.tellText(frame('invocationresult', server.served[0]!.invocation_id!, payload, idFirst))
    expect(caller.result(id)?.error).toMatchObject({
      code: 'serialization_error',
      message: expect.stringMatching(/^The worker's result cannot be read: ./),
    })
  })

  it('ends no call of another connection, and no call that was made before it under the same id', () => {
    const { server, caller } = peers()
    const id = caller.call('f')
    caller.tellText(frame('invocationresult', server.served[0]!.invocation_id!, deep(600)))
    caller.tellText(frame('invokefunction', id, deep(600)))
    expect(caller.result(id)).toBeUndefined()
    server.answer(server.served[0]!, 'done')
    expect(caller.result(id)).toMatchObject({ result: 'done' })
  })

  it('that says twice whom it is about is answered to nobody', () => {
    const { caller } = peers()
    const [one, other] = [randomUUID(), randomUUID()]
    caller.tellText(`{"type":"invokefunction","function_id":"f","invocation_id":"${one}","invocation_id":"${other}"}`)
    expect([caller.result(one), caller.result(other)]).toEqual([undefined, undefined])
  })
})

it('of a call with an action that there is not is answered with those that there are', () => {
  const { server, caller } = peers()
  const id = caller.call('f', { action: { type: 'nonsense' } })
  expect(caller.result(id)?.error).toMatchObject({
    code: 'invalid_input',
    message: expect.stringMatching(/action\.type .*void.*enqueue/),
  })
  expect(server.served).toEqual([])
})
