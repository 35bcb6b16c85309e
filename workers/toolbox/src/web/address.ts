import { BlockList, isIP } from 'node:net'

/** What is not the public Internet, after the registries of special-purpose addresses (RFC 6890 and its updates). */
const SPECIAL_V4: [subnet: string, what: string][] = [
  ['0.0.0.0/8', 'this network'],
  ['10.0.0.0/8', 'private'],
  ['100.64.0.0/10', 'shared address space'],
  ['127.0.0.0/8', 'loopback'],
  ['169.254.0.0/16', 'link-local'],
  ['172.16.0.0/12', 'private'],
  ['192.0.0.0/24', 'protocol assignments'],
  ['192.0.2.0/24', 'documentation'],
  ['192.31.196.0/24', 'AS112'],
  ['192.52.193.0/24', 'AMT'],
  ['192.88.99.0/24', '6to4 relay'],
  ['192.168.0.0/16', 'private'],
  ['192.175.48.0/24', 'AS112'],
  ['198.18.0.0/15', 'benchmarks'],
  ['198.51.100.0/24', 'documentation'],
  ['203.0.113.0/24', 'documentation'],
  ['224.0.0.0/4', 'multicast'],
  ['240.0.0.0/4', 'reserved'],
]
/** Within 2000::/3, which alone is public; what carries an IPv4 address is refused whatever it carries. */
const SPECIAL_V6: [subnet: string, what: string][] = [
  ['2001::/23', 'protocol assignments and Teredo'],
  ['2001:db8::/32', 'documentation'],
  ['2002::/16', '6to4'],
  ['2620:4f:8000::/48', 'AS112'],
  ['3fff::/20', 'documentation'],
]
/** Credentials of the machine are handed out here; never reached, whatever the settings say. */
const METADATA = [
  '169.254.169.254',
  '169.254.170.2',
  '169.254.170.23',
  '100.100.100.200',
  '168.63.129.16',
  'fd00:ec2::254',
]

const special = [...SPECIAL_V4, ...SPECIAL_V6].map(([subnet, what]) => ({ list: listOf([subnet]), what }))
const publicV6 = listOf(['2000::/3'])
const metadata = listOf(METADATA)

export function listOf(subnets: string[]): BlockList {
  const list = new BlockList()
  for (const subnet of subnets) {
    const [address = '', bits] = subnet.split('/')
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
    if (bits === undefined) list.addAddress(address, family)
    else list.addSubnet(address, Number(bits), family)
  }
  return list
}

/** `BlockList` sees through IPv6-mapped addresses, so that `::ffff:10.0.0.1` is as private as `10.0.0.1`. */
export function isIn(list: BlockList, address: string): boolean {
  return list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')
}

export function isMetadata(address: string): boolean {
  return isIn(metadata, address)
}

/** What an address is where it is not public; undefined where it is. */
export function specialUse(address: string): string | undefined {
  const family = isIP(address)
  if (family === 0) return 'no address'
  if (family === 6 && !isIn(publicV6, address)) return 'not a public IPv6 address'
  return special.find(({ list }) => isIn(list, address))?.what
}
