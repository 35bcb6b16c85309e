import { networkInterfaces } from 'node:os'
import { describe, expect, it } from 'vitest'
import { Settings } from '../settings.ts'
import { Guard, type Resolver } from './guard.ts'

const OWN_PORTS = new Set([3111, 49134])
const publicName: Resolver = async () => [{ address: '93.184.215.14', family: 4 }]
const guard = (settings: object = {}, resolve: Resolver = publicName) =>
  new Guard(Settings.parse(settings), OWN_PORTS, resolve)

async function outcome(url: string, settings?: object, resolve?: Resolver): Promise<string> {
  try {
    await guard(settings, resolve).check(url)
    return 'reached'
  } catch (error) {
    return (error as { details?: { reason?: string } }).details?.reason ?? String(error)
  }
}

/** One IPv4 address as `inet_aton` and URL parsers take it. */
function spellings(address: string): string[] {
  const bytes = address.split('.').map(Number) as [number, number, number, number]
  const [a, b, c, d] = bytes
  const whole = ((a * 256 + b) * 256 + c) * 256 + d
  const hex = (n: number) => `0x${n.toString(16)}`
  const octal = (n: number) => `0${n.toString(8)}`
  const fullWidth = address.replaceAll(/\d/g, (digit) => String.fromCodePoint(0xff10 + Number(digit)))
  const pair = (x: number, y: number) => ((x << 8) | y).toString(16)
  const mapped = `${pair(a, b)}:${pair(c, d)}`
  return [
    ...[address, `${address}.`, `${whole}`, hex(whole), hex(whole).toUpperCase(), octal(whole)],
    ...[
      bytes.map(hex).join('.'),
      bytes.map(octal).join('.'),
      `${a}.${b}.${c * 256 + d}`,
      `${a}.${(b * 256 + c) * 256 + d}`,
    ],
    ...[`${hex(a)}.${b}.${octal(c)}.${d}`, `0${octal(a)}.${b}.${c}.${d}`, fullWidth, address.replaceAll('.', '。')],
    ...[
      address.replaceAll('.', '%2e'),
      encodeURIComponent(address).replace(/^./, (x) => `%${x.charCodeAt(0).toString(16)}`),
    ],
    ...[
      `[::ffff:${address}]`,
      `[::ffff:${mapped}]`,
      `[0:0:0:0:0:ffff:${mapped}]`,
      `[::${address}]`,
      `[64:ff9b::${address}]`,
    ],
    ...[`[2002:${mapped}::]`, `[::ffff:0:${address}]`, `[2001:0:${mapped}::1]`],
  ]
}

const PRIVATE = [
  ...['127.0.0.1', '127.1.2.3', '0.0.0.0', '10.0.0.1', '10.255.255.255', '172.16.0.1', '172.31.255.254', '192.168.0.1'],
  ...['169.254.169.254', '169.254.1.1', '100.64.0.1', '100.100.100.200', '192.0.0.192', '198.18.0.1', '224.0.0.1'],
  ...['255.255.255.255', '240.0.0.1', '192.0.2.1', '203.0.113.9'],
]
const PRIVATE_V6 = [
  ...['[::1]', '[::]', '[0:0:0:0:0:0:0:1]', '[fe80::1]', '[fc00::1]', '[fd00:ec2::254]', '[ff02::1]', '[2001:db8::1]'],
  ...['[fec0::1]', '[64:ff9b:1::a00:1]', '[100::1]', '[3fff::1]', '[5f00::1]', '[2001::1]'],
]

describe('addresses that are not public', () => {
  it('are refused in every spelling', async () => {
    const attacks = [...PRIVATE.flatMap(spellings), ...PRIVATE_V6].flatMap((host) =>
      ['http', 'https'].flatMap((scheme) => [`${scheme}://${host}/`, `${scheme}://${host}:80/latest/meta-data`]),
    )
    expect(attacks.length).toBeGreaterThan(1_500)
    const reached: string[] = []
    for (const url of attacks) if ((await outcome(url, {}, publicName)) === 'reached') reached.push(url)
    // Only names reach the resolver; what is left of these must be one that a resolver refuses, not an address.
    expect(reached).toEqual([])
  })

  it('are refused behind every name that leads to them, also beside public ones', async () => {
    for (const address of [
      ...PRIVATE,
      ...PRIVATE_V6.map((host) => host.slice(1, -1)),
      '::ffff:10.0.0.1',
      '::ffff:7f00:1',
    ]) {
      const entry = { address, family: address.includes(':') ? (6 as const) : (4 as const) }
      const mixed: Resolver = async () => [{ address: '93.184.215.14', family: 4 }, entry]
      for (const resolve of [async () => [entry], mixed]) {
        expect([address, await outcome('https://rebind.example/', {}, resolve)]).not.toContain('reached')
      }
    }
  })

  it('that are this machine itself are refused, however public', async () => {
    const own = Object.values(networkInterfaces()).flatMap((entries) => entries ?? [])
    for (const { address, family } of own) {
      if (address.startsWith('fe80')) continue
      const host = family === 'IPv6' ? `[${address}]` : address
      expect([address, await outcome(`http://${host}/`)]).not.toContain('reached')
    }
  })

  it('may be reached where the owner says so, and only there', async () => {
    const allow_private = ['127.0.0.1:8080', '10.0.0.0/8', '[fd00::1]:80']
    const tried = async (url: string) => outcome(url, { allow_private })
    expect(await tried('http://127.0.0.1:8080/')).toBe('reached')
    expect(await tried('http://10.1.2.3/')).toBe('reached')
    expect(await tried('http://[fd00::1]/')).toBe('reached')
    expect(await tried('http://127.0.0.1/')).toBe('private_address')
    expect(await tried('http://127.0.0.1:8081/')).toBe('private_address')
    expect(await tried('http://127.0.0.2:8080/')).toBe('private_address')
    expect(await tried('http://10.1.2.3:22/')).toBe('private_address')
    expect(await tried('http://[::ffff:127.0.0.1]:8080/')).toBe('private_address')
    expect(await tried('http://2130706433:8080/')).toBe('odd_address')
  })

  it('of metadata services and of our own ports are never reached', async () => {
    const allow_private = ['0.0.0.0/0', '::/0', '127.0.0.1:3111', '127.0.0.1:49134', '169.254.169.254:80']
    const tried = async (url: string, resolve?: Resolver) => outcome(url, { allow_private }, resolve)
    for (const host of ['169.254.169.254', '100.100.100.200', '[fd00:ec2::254]', '[::ffff:169.254.169.254]']) {
      expect([host, await tried(`http://${host}/`)]).toContain('metadata_address')
    }
    for (const port of OWN_PORTS) {
      for (const host of ['127.0.0.1', '[::1]', '127.0.0.53', '0.0.0.0']) {
        expect([host, port, await tried(`http://${host}:${port}/`)]).toContain('own_port')
      }
      expect(await tried(`http://localhost:${port}/`, async () => [{ address: '127.0.0.1', family: 4 }])).toBe(
        'own_port',
      )
    }
  })

  it('refuses settings that it cannot read', () => {
    for (const rule of ['intranet', '10.0.0.0/33', '', '127.0.0.1:x', '10.0.0.0/8/8']) {
      expect(() => guard({ allow_private: [rule || ' '] })).toThrow('allow_private')
    }
  })
})

describe('odd addresses of the web', () => {
  it.each([
    ['file:///etc/passwd', 'scheme'],
    ['ftp://example.com/', 'scheme'],
    ['gopher://example.com:70/_x', 'scheme'],
    ['data:text/plain,hello', 'scheme'],
    ['javascript:alert(1)', 'scheme'],
    ['ws://example.com/', 'scheme'],
    ['blob:http://example.com/1', 'scheme'],
    ['unix:/var/run/docker.sock', 'scheme'],
    ['http://user:secret@example.com/', 'credentials_in_url'],
    ['http://user@example.com/', 'credentials_in_url'],
    ['http://@example.com/', 'credentials_in_url'],
    ['http://example.com@127.0.0.1/', 'credentials_in_url'],
    ['http://127.0.0.1\\@example.com/', 'malformed_url'],
    ['http:example.com', 'malformed_url'],
    ['http:/example.com', 'malformed_url'],
    ['http:///example.com', 'malformed_url'],
    ['example.com', 'malformed_url'],
    ['//example.com/', 'malformed_url'],
    ['http://', 'malformed_url'],
    ['http://exa mple.com/', 'malformed_url'],
    ['http://example.com/\r\nX: y', 'malformed_url'],
    ['http://exam\tple.com/', 'malformed_url'],
    ['http://ex\u00adample.com/', 'malformed_url'],
    ['http://[fe80::1%25eth0]/', 'malformed_url'],
    ['http://256.1.1.1/', 'malformed_url'],
    ['http://8.8.8.8.8/', 'malformed_url'],
    ['http://134744072/', 'odd_address'],
    ['http://0x8.8.8.8/', 'odd_address'],
    ['http://example.com:22/', 'port'],
    ['http://example.com:6379/', 'port'],
    ['http://example.com:3111/', 'port'],
    ['http://example.com:65535/', 'port'],
  ])('%j is refused: %s', async (url, reason) => expect(await outcome(url)).toBe(reason))

  it.each([
    'http://example.com/',
    'https://example.com:443/a?b=c#d',
    'https://8.8.8.8/',
    'https://bücher.example/',
    'http://[2606:4700::1111]/',
  ])('%s is reached', async (url) => expect(await outcome(url)).toBe('reached'))

  it('are only those of `allow_hosts`, where there are any', async () => {
    const settings = { allow_hosts: ['example.com', '*.example.org'] }
    expect(await outcome('https://example.com/', settings)).toBe('reached')
    expect(await outcome('https://EXAMPLE.com./', settings)).toBe('reached')
    expect(await outcome('https://a.b.example.org/', settings)).toBe('reached')
    for (const host of ['example.org', 'badexample.org', 'example.com.evil.test', 'www.example.com', '8.8.8.8']) {
      expect([host, await outcome(`https://${host}/`, settings)]).toContain('host_not_allowed')
    }
  })

  it('without an address are errors of the other side', async () => {
    await expect(guard({}, async () => []).check('https://example.com/')).rejects.toMatchObject({
      code: 'upstream_error',
    })
    const failing: Resolver = async () => Promise.reject(new Error('ENOTFOUND'))
    await expect(guard({}, failing).check('https://example.com/')).rejects.toMatchObject({ code: 'upstream_error' })
  })
})
