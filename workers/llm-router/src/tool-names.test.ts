import { describe, expect, it } from 'vitest'
import { ToolNames, toolName } from './tool-names.ts'

describe('tool names', () => {
  it('are readable where that can be undone', () => {
    expect(toolName('memory::search')).toBe('memory__search')
    expect(toolName('memory::session::get')).toBe('memory__session__get')
    expect(toolName('set_key-2')).toBe('set_key-2')
  })

  it.each([
    'a__b',
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
    const name = toolName(id)
    expect(name).toMatch(/^[A-Za-z][A-Za-z0-9_-]{0,63}$/)
    expect(new ToolNames([id]).id(name)).toBe(id)
    expect(toolName(id)).toBe(name)
  })

  it('differ for different ids', () => {
    const ids = ['a::b', 'a__b', 'a_b', 'a::_b', 'a_::b', `a::${'b'.repeat(80)}`, `a::${'b'.repeat(81)}`]
    expect(new Set(ids.map(toolName)).size).toBe(ids.length)
  })

  it('reads a name that the model made up as the id that it looks like', () => {
    expect(new ToolNames(['a::b']).id('memory__search')).toBe('memory::search')
  })
})
