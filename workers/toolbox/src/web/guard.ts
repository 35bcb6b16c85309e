import { lookup } from 'node:dns/promises'
import { type BlockList, isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import { AgentError } from '@agentos/sdk'
import { isIn, isMetadata, listOf, specialUse } from './address.ts'
import { refuse } from './refusal.ts'

export interface GuardSettings {
  allow_hosts: string[]
  allow_private: string[]
  allow_ports: number[]
}

export interface Address {
  address: string
  family: 4 | 6
}

export type Resolver = (host: string) => Promise<Address[]>

/** An address of the web and where it leads: the only addresses that may be connected to for it. */
export interface Target {
  url: URL
  addresses: Address[]
}

interface PrivateRule {
  list: BlockList
  /** Undefined: any port that is allowed for public addresses. */
  port: number | undefined
}

const SCHEMES = new Map([
  ['http:', 80],
  ['https:', 443],
])

/** Decides what may be reached. Names are resolved here, once, and what is connected to is what was checked. */
export class Guard {
  private readonly settings: GuardSettings
  private readonly rules: PrivateRule[]
  private readonly ownPorts: ReadonlySet<number>
  private readonly resolve: Resolver

  constructor(settings: GuardSettings, ownPorts: ReadonlySet<number>, resolve: Resolver = resolveByHost) {
    this.settings = settings
    this.rules = settings.allow_private.map(readRule)
    this.ownPorts = ownPorts
    this.resolve = resolve
  }

  /** Throws `forbidden` with the reason; `upstream_error` where the name is not known. */
  async check(text: string, base?: URL): Promise<Target> {
    const url = readUrl(text, base)
    const host = url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '')
    const port = Number(url.port) || SCHEMES.get(url.protocol)!
    if (!this.allowsHost(host)) {
      throw refuse('host_not_allowed', url.href, `${host} is not among the hosts of \`allow_hosts\` in config.yaml`)
    }
    const addresses = await this.addressesOf(host)
    for (const { address } of addresses) this.checkAddress(url, address, port)
    return { url, addresses }
  }

  private checkAddress(url: URL, address: string, port: number): void {
    const where = address === url.hostname ? address : `${url.hostname} (${address})`
    if (isMetadata(address)) {
      throw refuse('metadata_address', url.href, `${where} is a metadata service, which is never reached`)
    }
    const local = specialUse(address) ?? (isOfThisHost(address) ? 'of this machine' : undefined)
    if (local !== undefined) {
      if (this.ownPorts.has(port)) {
        throw refuse('own_port', url.href, `Port ${port} is one of this installation, which is called through the bus`)
      }
      if (!this.allowsPrivate(address, port)) {
        const how = 'the owner can allow it with `allow_private` in config.yaml'
        throw refuse('private_address', url.href, `${where}, port ${port}, is not public (${local}); ${how}`)
      }
      return
    }
    if (!this.settings.allow_ports.includes(port)) {
      throw refuse('port', url.href, `Port ${port} is not among \`allow_ports\` in config.yaml`)
    }
  }

  private allowsHost(host: string): boolean {
    const { allow_hosts: allowed } = this.settings
    if (allowed.length === 0) return true
    return allowed.some((entry) => {
      const name = entry.toLowerCase()
      return name.startsWith('*.') ? host.endsWith(name.slice(1)) : host === name
    })
  }

  private allowsPrivate(address: string, port: number): boolean {
    // What carries another address inside is written as that address where it is meant.
    if (/^::ffff:/i.test(address)) return false
    return this.rules.some(
      (rule) =>
        isIn(rule.list, address) &&
        (rule.port === undefined ? this.settings.allow_ports.includes(port) : rule.port === port),
    )
  }

  private async addressesOf(host: string): Promise<Address[]> {
    const family = isIP(host)
    if (family !== 0) return [{ address: host, family: family === 6 ? 6 : 4 }]
    let addresses: Address[]
    try {
      addresses = await this.resolve(host)
    } catch (error) {
      throw new AgentError('upstream_error', `The name ${host} could not be resolved`, { cause: error })
    }
    if (addresses.length === 0) throw new AgentError('upstream_error', `The name ${host} has no address`)
    return addresses
  }
}

/** Takes what says plainly where it leads, and nothing that a parser has to put right first. */
export function readUrl(text: string, base?: URL): URL {
  const malformed = () =>
    refuse('malformed_url', text, 'This is no plain address; write it as https://host/path, percent-encoded')
  if (/[\p{Cc}\p{Cf}\s\\]/u.test(text) || !URL.canParse(text, base)) throw malformed()
  const url = new URL(text, base)
  if (!SCHEMES.has(url.protocol)) {
    throw refuse('scheme', text, `Only http and https are reached, not ${url.protocol.replace(':', '')}`)
  }
  const [, authority] = /^(?:https?:)?\/\/([^/?#]+)/i.exec(text) ?? []
  // A redirect may name a path only; its host was checked before.
  if (authority === undefined) {
    if (!base || /^(?:https?:|\/\/)/i.test(text)) throw malformed()
    return url
  }
  if (authority.includes('@')) {
    throw refuse('credentials_in_url', url.host, 'An address with a user name or password in it is not reached')
  }
  // 2130706433, 0x7f.1 and 017700000001 are addresses in disguise, and so are digits of other scripts.
  if (isIP(url.hostname) === 4 && authority.replace(/:\d*$/, '') !== url.hostname) {
    throw refuse('odd_address', text, `Write the address as ${url.hostname}`)
  }
  return url
}

/** Which addresses this machine has now: they lead to it however public they are. */
function isOfThisHost(address: string): boolean {
  return Object.values(networkInterfaces()).some((entries) => entries?.some((entry) => entry.address === address))
}

async function resolveByHost(host: string): Promise<Address[]> {
  const found = await lookup(host, { all: true, verbatim: true })
  return found.map(({ address, family }) => ({ address, family: family === 6 ? 6 : 4 }))
}

function readRule(text: string): PrivateRule {
  const bracketed = /^\[([^\]]+)\](?::(\d+))?$/.exec(text)
  const plain = isIP(text.split('/')[0]!) === 6 ? undefined : /^([^:]+)(?::(\d+))?$/.exec(text)
  const [, subnet = text, port] = bracketed ?? plain ?? []
  const [address = '', bits, ...rest] = subnet.split('/')
  const most = isIP(address) === 6 ? 128 : 32
  if (isIP(address) === 0 || rest.length > 0 || (bits !== undefined && !(/^\d+$/.test(bits) && Number(bits) <= most))) {
    throw new AgentError(
      'not_configured',
      `\`allow_private\` of the toolbox takes addresses such as 10.0.0.0/8 or 127.0.0.1:8080, not "${text}"`,
    )
  }
  return { list: listOf([subnet]), port: port === undefined ? undefined : Number(port) }
}
