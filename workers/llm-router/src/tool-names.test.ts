import { describe, expect, it } from 'vitest'
import { ToolNames } from './tool-names.ts'

describe('tool names', () => {
  it('are readable where that can be undone', () => {
    const names = new ToolNames(['memory::search', 'memory::session::get', 'set_key-2'])
    expect(names.name('memory::search')).toBe('memory__search')
    expect(names.name('memory::session::get')).toBe('memory__session__get')
    expect(names.name('set_key-2')).toBe('set_key-2')
  })

  it.each(['mcp__fs__read', 'a__b', '_private', 'get_weather', 'x'.repeat(64)])(
    'of a client stay as they are, and come back so: %s',
    (name) => {
      const names = new ToolNames([name])
      expect(names.name(name)).toBe(name)
      expect(names.id(name)).toBe(name)
    },
  )

  it('that no function has come back as the model wrote them, where none of the functions has a namespace', () => {
    expect(new ToolNames(['mcp__fs__read']).id('mcp__fs__write')).toBe('mcp__fs__write')
    expect(new ToolNames([]).id('mcp__fs__write')).toBe('mcp__fs__write')
  })

  it('that the model shortens are those of the one function that they can mean', () => {
    const long = `mcp::${'files_'.repeat(12)}read`
    const names = new ToolNames([long, 'fs.read', 'memory::search', 'mcp__git__log'])
    const wire = names.name(long)
    expect(names.id(wire.slice(0, -11))).toBe(long)
    expect(names.id(wire.slice(0, 40))).toBe(long)
    expect(names.id('fs_read')).toBe('fs.read')
    expect(names.id('fs.read')).toBe('fs.read')
    expect(names.id('memory::search')).toBe('memory::search')
    expect(names.id('search')).toBe('memory::search')
    expect(names.id('git__log')).toBe('mcp__git__log')
    expect(names.id('log')).toBe('mcp__git__log')
  })

  it('that could mean two functions are neither', () => {
    const names = new ToolNames(['files::read', 'mail::read', 'files::reader'])
    expect(names.id('read')).toBe('read')
    expect(names.id('files__rea')).toBe('files::rea')
    expect(names.id('files__read')).toBe('files::read')
  })

  it('differ where a namespace of ours meets a name of a client’s', () => {
    const names = new ToolNames(['a::b', 'a__b'])
    expect(names.name('a__b')).toBe('a__b')
    expect(names.name('a::b')).not.toBe('a__b')
    for (const id of ['a::b', 'a__b']) expect(names.id(names.name(id))).toBe(id)
  })

  it.each([
    'a_::b',
    'a::_b',
    '9lives::go',
    'with blank::x',
    'ünicode::x',
    'x'.repeat(100),
    `a::${'b'.repeat(80)}`,
    '::',
    'a:b',
  ])('fit every provider and come back: %s', (id) => {
    const names = new ToolNames([id])
    const name = names.name(id)
    expect(name).toMatch(/^[A-Za-z][A-Za-z0-9_-]{0,63}$/)
    expect(names.id(name)).toBe(id)
    expect(new ToolNames([id, 'another::one']).name(id)).toBe(name)
  })

  it('differ for different ids', () => {
    const ids = ['a::b', 'a__b', 'a_b', 'a::_b', 'a_::b', `a::${'b'.repeat(80)}`, `a::${'b'.repeat(81)}`]
    const names = new ToolNames(ids)
    expect(new Set(ids.map((id) => names.name(id))).size).toBe(ids.length)
  })

  it('reads a name that the model made up as the id that it looks like', () => {
    expect(new ToolNames(['a::b']).id('memory__search')).toBe('memory::search')
  })
})
