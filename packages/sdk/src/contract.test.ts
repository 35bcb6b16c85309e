import { describe, expect, it } from 'vitest'
import * as z from 'zod'
import { defineFunction } from './contract.ts'
import { defineWorker } from './worker.ts'

const contract = {
  id: 'weather::get',
  summary: 'The weather',
  input: () => z.object({}),
  output: () => z.object({}),
  effects: 'read' as const,
}
/** As a source that nobody compiled. */
const define = (more: object) => () => defineFunction({ ...contract, ...more } as typeof contract)

describe('a contract', () => {
  it.each([
    ['a key that there is not', { efects: 'read' }, 'weather::get has no efects; there is id, summary, '],
    [
      'a key of a route',
      { http: [{ route: 'GET /x', statuz: 201 }] },
      'weather::get: http has no statuz; there is route, ',
    ],
    ['a key of a rule', { effects: { field: 'a', case: {} } }, 'weather::get: effects has no case; there is field, '],
    [
      'effects that are none',
      { effects: 'reads' },
      'weather::get: effects are one of read, write, external, or a rule',
    ],
    ['effects that are missing', { effects: undefined }, 'not undefined'],
    [
      'effects of a rule',
      { effects: { field: 'a', cases: { b: 'rite' }, absent: 'read', otherwise: 'read' } },
      'not rite',
    ],
    ['access that is none', { access: 'onwer' }, 'weather::get: access is one of guest, agent, owner, not onwer'],
  ])('is refused for %s, with its id', (_, more, said) => {
    expect(define(more)).toThrow(said)
  })

  it('stands with everything that there is', () => {
    const rule = { field: 'a', cases: { b: 'write' }, absent: 'read', otherwise: 'external' }
    const http = ['GET /x', { route: 'POST /x', status: 201, raw: true, stream: true }]
    const flags = { idempotent: true, keyed: true, durable: true, tool: true, access: 'owner' }
    expect(define({ effects: rule, http, ...flags })).not.toThrow()
  })
})

it('a worker is refused for a key that there is not, with its name', () => {
  const definition = { name: 'weather', functions: [], triger: [] }
  expect(() => defineWorker(definition)).toThrow('the worker weather has no triger; there is name, settings, start, ')
})
