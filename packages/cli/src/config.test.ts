import { describe, expect, it } from 'vitest'
import { addressOf, expandVariables, parseSettings } from './config.ts'

describe('config.yaml', () => {
  it('expands variables, the set value before the default, and keeps colons of a default', () => {
    const text = `a: \${A:1}\nb: \${B:http://x:2}\nc: \${C:}`
    expect(expandVariables(text, { A: '9' })).toBe('a: 9\nb: http://x:2\nc: ')
  })

  it('refuses a variable without value and default, by name', () => {
    expect(() => expandVariables(`key: \${MISSING}`, {})).toThrow(/MISSING/)
  })

  it('reads the ports of the iii layout as numbers', () => {
    const settings = parseSettings(
      `workers:\n  - name: iii-http\n    config: { port: \${PORT:4000}, host: 0.0.0.0 }\n  - name: iii-worker-manager\n    config:\n      port: 5000\n`,
      {},
    )
    expect(settings.http).toEqual({ host: '0.0.0.0', port: 4000 })
    expect(settings.manager).toEqual({ host: '127.0.0.1', port: 5000 })
    expect(settings.variables).toEqual(['PORT'])
  })

  it('has defaults where the file is empty or names neither', () => {
    expect(parseSettings('', {})).toMatchObject({ http: { port: 3111 }, manager: { port: 49134 } })
  })

  it('names the port that is not one', () => {
    expect(() => parseSettings('workers: [{name: iii-http, config: {port: many}}]', {})).toThrow(/iii-http is many/)
  })

  it('says where broken YAML breaks', () => {
    expect(() => parseSettings('workers: [', {})).toThrow(/line 1/)
  })

  it('reaches a listener that listens everywhere on the loopback', () => {
    expect(addressOf({ host: '0.0.0.0', port: 1 })).toBe('127.0.0.1:1')
    expect(addressOf({ host: '::1', port: 1 })).toBe('[::1]:1')
  })
})
