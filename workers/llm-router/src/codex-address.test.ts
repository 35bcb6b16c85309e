import { describe, expect, it } from 'vitest'
import { codexAddress } from './codex-address.ts'

describe('the address of the codex proxy', () => {
  it.each([
    ['http://127.0.0.1:8317/v1', 'http://127.0.0.1:8317/v1'],
    ['https://127.9.9.9/v1///', 'https://127.9.9.9/v1'],
    ['http://[::1]:8317/v1', 'http://[::1]:8317/v1'],
  ])('takes %s', (given, expected) => expect(codexAddress(given)).toBe(expected))

  it.each([
    'http://localhost:8317/v1',
    'http://192.168.1.4/v1',
    'http://example.com/v1',
    'http://me:secret@127.0.0.1/v1',
    'http://me@127.0.0.1/v1',
    'http://127.0.0.1/v1?x=1',
    'http://127.0.0.1/v1?',
    'http://127.0.0.1/v1#x',
    'ftp://127.0.0.1/v1',
    'http://127.0.0.1.example.com/v1',
    'nonsense',
  ])('refuses %s', (given) => expect(codexAddress(given)).toBeUndefined())
})
