import { describe, expect, it } from 'vitest'
import { KnownSecrets } from './known-secrets.ts'

const KEY = 'sk-test/önly+"quoted"-0123456789'

function knowing(...values: string[]): KnownSecrets {
  const secrets = new KnownSecrets()
  for (const value of values) secrets.learn(value)
  return secrets
}

describe('a secret that is known by value', () => {
  it.each([
    ['as it is', KEY],
    ['escaped for JSON', JSON.stringify(KEY).slice(1, -1)],
    ['as base64', Buffer.from(KEY).toString('base64')],
    ['as base64url', Buffer.from(KEY).toString('base64url')],
    ['as hex', Buffer.from(KEY).toString('hex')],
    ['as hex in capitals', Buffer.from(KEY).toString('hex').toUpperCase()],
    ['percent-encoded', encodeURIComponent(KEY)],
    ['percent-encoded in small letters', encodeURIComponent(KEY).replace(/%../g, (text) => text.toLowerCase())],
  ])('is blanked %s, and nothing beside it', (_, form) => {
    const secrets = knowing(KEY)
    expect(secrets.text(`before ${form} after, ${form}`)).toBe('before [redacted] after, [redacted]')
    expect(secrets.text(form, '[key]')).toBe('[key]')
  })

  it.each(['', 'a', 'ab', 'abc', 'user:'])('is blanked within the base64 of something longer: after "%s"', (before) => {
    for (const after of ['', 'x', 'xy', 'xyz']) {
      const clean = knowing(KEY).text(`Basic ${Buffer.from(before + KEY + after).toString('base64')}.`)
      const left = clean.replace('[redacted]', '').replace('Basic ', '')
      expect(clean).toContain('[redacted]')
      // At most a character on either side of it that holds bits of a neighbour.
      expect(left.length).toBeLessThanOrEqual(Buffer.from(before).toString('base64').length + 8)
    }
  })

  it('is the password in an address too, decoded or not, and each line of several', () => {
    const secrets = knowing(
      'smtp://me:p%40ss-w0rd@mail.example:587',
      `-----BEGIN-----\n${'A'.repeat(64)}\n-----END-----`,
    )
    expect(secrets.text('535 login of me with p@ss-w0rd failed')).toBe('535 login of me with [redacted] failed')
    expect(secrets.text('p%40ss-w0rd')).toBe('[redacted]')
    expect(secrets.text(`line: ${'A'.repeat(64)}`)).toBe('line: [redacted]')
  })

  it('is none where it is short: it would take ordinary words with it', () => {
    const secrets = knowing('ollama', 'true', '', '1234567', 'smtp://me:short@mail.example')
    expect(secrets.text('ollama is true, 1234567 is short')).toBe('ollama is true, 1234567 is short')
    expect(knowing('smtp://me:hunter2@mail.example').text('hunter2')).toBe('[redacted]')
  })

  it('goes whole where it holds another, or overlaps with one', () => {
    expect(knowing('inner-value', 'the-inner-value-of').text('the-inner-value-of it')).toBe('[redacted] it')
    expect(knowing('abcdefgh', 'efghijkl').text('abcdefghijkl.')).toBe('[redacted].')
  })

  it('is blanked in keys and values, and where it is split over fields', () => {
    const secrets = knowing(KEY)
    const value = { [KEY]: 1, a: [{ b: `x ${KEY}` }], first: KEY.slice(0, 9), n: 5, last: KEY.slice(9), end: 'end' }
    expect(secrets.value(value)).toEqual({
      '[redacted]': 1,
      a: [{ b: 'x [redacted]' }],
      first: '[redacted]',
      n: 5,
      last: '[redacted]',
      end: 'end',
    })
    const clean = { a: ['nothing', 1, null, true], b: { c: 'here' } }
    expect(secrets.value(clean)).toBe(clean)
  })

  it('is blanked in lines of a log, which stay what they are otherwise', () => {
    const secrets = knowing(KEY)
    const line = `${JSON.stringify({ level: 50, time: 1, err: { cause: { message: `no ${KEY}` } } })}\n`
    expect(secrets.line(line)).toBe('{"level":50,"time":1,"err":{"cause":{"message":"no [redacted]"}}}\n')
    expect(secrets.line(`Error: ${KEY}`)).toBe('Error: [redacted]')
    const clean = '{"n": 1.0,  "text":"as it was"}\n'
    expect(secrets.line(clean)).toBe(clean)
  })

  it('is found by who was told its fingerprint, and stands in none', () => {
    const one = knowing()
    const other = new KnownSecrets()
    one.subscribe((added) => other.add(JSON.parse(JSON.stringify(added))))
    one.learn(KEY)
    one.learn(KEY)
    expect(other.text(`a ${KEY} b`)).toBe('a [redacted] b')
    expect(other.fingerprints).toEqual(one.fingerprints)
    expect(JSON.stringify(other.fingerprints)).not.toContain(KEY.slice(0, 6))
    expect(other.longest).toBeGreaterThanOrEqual(KEY.length)
  })

  it('is found at every place of a long text, between others that begin alike', () => {
    const values = Array.from({ length: 50 }, (_, n) => `sk-proj-${String(n).padStart(3, '0')}-${'z'.repeat(n)}`)
    const secrets = knowing(...values)
    const text = values.map((value, n) => `${'é'.repeat(n)}${value}`).join(' sk-proj- ')
    expect(secrets.text(text)).toBe(values.map((_, n) => `${'é'.repeat(n)}[redacted]`).join(' sk-proj- '))
  })
})
