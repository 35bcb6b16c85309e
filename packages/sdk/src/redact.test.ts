import { canonicalJson } from '@agentos/protocol'
import { describe, expect, it } from 'vitest'
import { REDACTED, redactSecrets, redactText } from './redact.ts'

describe('redaction', () => {
  it.each([
    `sk-ant-${'a1'.repeat(20)}`,
    `sk-proj-${'a1'.repeat(20)}`,
    `ghp_${'a'.repeat(36)}`,
    `xoxb-${'1'.repeat(12)}-abc`,
    `AKIA${'A'.repeat(16)}`,
    `AIza${'b'.repeat(35)}`,
    `eyJ${'a'.repeat(12)}.${'b'.repeat(12)}.${'c'.repeat(12)}`,
    `-----BEGIN RSA PRIVATE KEY-----\n${'A'.repeat(64)}\n-----END RSA PRIVATE KEY-----`,
  ])('finds %s in a text', (secret) => {
    expect(redactText(`use ${secret} for it`)).toBe(`use ${REDACTED} for it`)
  })

  it('takes only the value after a telling name, a scheme or in an address', () => {
    expect(redactText('password: hunter2222, then')).toBe(`password: ${REDACTED}, then`)
    expect(redactText(`Authorization: Bearer ${'x'.repeat(20)}`)).toBe(`Authorization: Bearer ${REDACTED}`)
    expect(redactText('postgres://me:pass@host/db')).toBe(`${REDACTED}host/db`)
  })

  it('replaces whole fields with a telling name and says where', () => {
    const { value, paths } = redactSecrets({
      a: [{ apiKey: 'plain' }, { note: `key ghp_${'a'.repeat(36)}` }],
      clientSecret: { nested: true },
      maxTokens: 5,
      token: null,
      secretary: 'Ann',
      tokens: '',
    })
    expect(paths).toEqual(['a[0].apiKey', 'a[1].note', 'clientSecret'])
    expect(value).toEqual({
      a: [{ apiKey: REDACTED }, { note: `key ${REDACTED}` }],
      clientSecret: REDACTED,
      maxTokens: 5,
      token: null,
      secretary: 'Ann',
      tokens: '',
    })
  })

  it('leaves ordinary texts alone', () => {
    const text = 'The password policy says: use a manager. The task-based token count was 12. See https://a.b/c?d=e'
    expect(redactText(text)).toBe(text)
  })
})

describe('canonical JSON', () => {
  it('is the same for equal values and keeps the order of lists', () => {
    expect(canonicalJson({ b: [2, { d: 1, c: null }], a: 'x' })).toBe('{"a":"x","b":[2,{"c":null,"d":1}]}')
    expect(canonicalJson(JSON.parse('{"b":1,"__proto__":{"z":1,"y":2}}'))).toBe('{"__proto__":{"y":2,"z":1},"b":1}')
  })

  it('tells a number that is too large from null and from its opposite', () => {
    const texts = ['1e400', '-1e400', 'null'].map((amount) => canonicalJson(JSON.parse(`{"amount":${amount}}`)))
    expect(texts).toEqual(['{"amount":1e999}', '{"amount":-1e999}', '{"amount":null}'])
  })
})
