import { findFunctions, listFunctions } from '@agentos/contracts/agent-core'
import { describe, expect, it } from 'vitest'
import * as z from 'zod'
import { assertExact, validateArguments } from './tool-arguments.ts'

const schemaOf = (contract: { input: () => z.ZodType }) =>
  z.toJSONSchema(contract.input(), { io: 'input' }) as Record<string, unknown>

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
    await expect(validateArguments({ type: 'object', not: { $ref: '#/nowhere' } }, { a: 1 })).resolves.toBeUndefined()
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
