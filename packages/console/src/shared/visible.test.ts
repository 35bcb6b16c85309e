import { h, options } from 'preact'
import { jsx } from 'preact/jsx-runtime'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { showTextVisibly } from './visible.ts'

const NASTY = 'a\u202eb\u200bc\u001b[2Jd'
const SHOWN = 'a\\u202eb\\u200bc\\u001b[2Jd'

describe('a text of the page', () => {
  const before = options.vnode
  beforeAll(showTextVisibly)
  afterAll(() => {
    if (before) options.vnode = before
    else delete options.vnode
  })

  it('is shown as what it is, alone and among others, and so is what is read out', () => {
    expect(jsx('code', { children: NASTY }).props.children).toBe(SHOWN)
    expect(h('p', { title: NASTY, 'aria-label': NASTY }, 'for ', [NASTY, [NASTY]], 7).props).toMatchObject({
      title: SHOWN,
      'aria-label': SHOWN,
      children: ['for ', [SHOWN, [SHOWN]], 7],
    })
  })

  it('is left as it is where it is typed in, or no text yet', () => {
    expect(h('input', { value: NASTY }).props).toMatchObject({ value: NASTY })
    expect(h(() => null, { source: NASTY } as object).props).toMatchObject({ source: NASTY })
    expect(jsx('pre', { children: 'two\nlines 👩‍👧' }).props.children).toBe('two\nlines 👩‍👧')
  })
})
