import { describe, expect, it } from 'vitest'
import { newId, uuidv7 } from './ids.ts'

describe('ids', () => {
  it('are UUIDs of version 7 that sort by the time they were made', () => {
    const early = uuidv7(1_700_000_000_000)
    const late = uuidv7(1_700_000_000_001)
    expect(early).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(early < late).toBe(true)
  })

  it('never repeat', () => {
    expect(new Set(Array.from({ length: 5_000 }, () => newId('run'))).size).toBe(5_000)
  })
})
