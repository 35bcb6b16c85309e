import { describe, expect, it } from 'vitest'
import { freeSlug, slugOf } from './slug.ts'

describe('slugs', () => {
  it.each([
    ['Prod', 'prod'],
    ['  Größe & Co. ', 'gro-e-co'],
    ['Éclair №5', 'eclair-no5'],
    ['日本', 'realm'],
    ['a'.repeat(100), 'a'.repeat(80)],
  ])('are made from "%s"', (name, slug) => {
    expect(slugOf(name)).toBe(slug)
  })

  it('get a number where they are taken', () => {
    expect(freeSlug('prod', new Set())).toBe('prod')
    expect(freeSlug('prod', new Set(['prod', 'prod-2']))).toBe('prod-3')
    expect(freeSlug('a'.repeat(80), new Set(['a'.repeat(80)]))).toBe(`${'a'.repeat(78)}-2`)
  })
})
