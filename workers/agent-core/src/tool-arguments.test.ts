import { findFunctions, listFunctions } from '@agentos/contracts/agent-core'
import { describe, expect, it } from 'vitest'
import * as z from 'zod'
import { assertExact, validateArguments } from './tool-arguments.ts'

const schemaOf = (contract: { input: () => z.ZodType }) => ({
  installed: true,
  inputSchema: z.toJSONSchema(contract.input(), { io: 'input' }) as Record<string, unknown>,
})

describe('arguments of a model', () => {
  it.each(['default', 'a', 'größe-1', '研究'])('may name the agent %s where the contract takes it', async (agentId) => {
    await expect(validateArguments(schemaOf(listFunctions), { agentId })).resolves.toBeUndefined()
  })

  it('are refused by the name of the field', async () => {
    const schema = schemaOf(findFunctions)
    await expect(validateArguments(schema, { query: 7 })).rejects.toThrow(/query/)
    await expect(validateArguments(schema, {})).rejects.toThrow(/query/)
    await expect(validateArguments(schema, { query: 'x', agentid: 'default' })).rejects.toThrow(/agentid/)
  })

  it('are left to the function where its schema cannot be read', async () => {
    const inputSchema = { type: 'object', not: { $ref: '#/nowhere' } }
    await expect(validateArguments({ installed: true, inputSchema }, { a: 1 })).resolves.toBeUndefined()
  })

  it.each([
    ['a pattern', { x: { type: 'string', pattern: '^b+$' } }],
    ['a format', { x: { type: 'string', format: 'email' } }],
    ['a list of values', { x: { enum: ['b'] } }],
    ['branches', { x: { anyOf: [{ type: 'number' }, { $ref: '#/properties/x' }] } }],
  ])('are left to a function that nobody installed: %s in its schema is not run', async (_what, properties) => {
    const inputSchema = { type: 'object', properties }
    for (const installed of [false, undefined]) {
      const schema = { ...(installed === undefined ? {} : { installed }), inputSchema }
      await expect(validateArguments(schema, { x: 'a' })).resolves.toBeUndefined()
    }
  })

  it('are refused by a pattern of an installed function', async () => {
    const inputSchema = { type: 'object', properties: { x: { type: 'string', pattern: '^b+$' } } }
    await expect(validateArguments({ installed: true, inputSchema }, { x: 'a' })).rejects.toThrow(/x/)
  })

  it.each(['{"id":12345678901234567890}', '{"a":[{"b":-9007199254740993}]}', '{"big":1e400}'])(
    'are refused where a number would reach the function as another one: %s',
    (text) => {
      expect(() => assertExact(text)).toThrow(/write it as text/)
    },
  )

  it('may hold fractions and text of any length', () => {
    expect(() => assertExact('{"f": 0.12345678901234567890, "n": 1.0, "id": "12345678901234567890"}')).not.toThrow()
  })
})
