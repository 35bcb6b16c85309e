import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { tellOfGuestRealm } from './realm-notice.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'agentos-notice-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

function start(used: boolean): string[] {
  const said: string[] = []
  const note = (_fields: object, message: string): void => void said.push(message)
  const told = tellOfGuestRealm(folder, used, { debug: note, info: note, warn: note, error: note })
  expect(said).toEqual(told === undefined ? [] : [told])
  return said
}

describe('that guests have a realm of their own', () => {
  it('is told once, where there is data of before', () => {
    expect(start(true)).toEqual([expect.stringContaining('still in realm-default')])
    expect(start(true)).toEqual([])
  })

  it('is not told to a new folder, nor at its later starts', () => {
    expect(start(false)).toEqual([])
    expect(start(true)).toEqual([])
  })
})
