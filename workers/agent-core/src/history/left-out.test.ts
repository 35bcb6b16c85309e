import { expect, it } from 'vitest'
import { shortened } from './left-out.ts'

it('images and files are said where they are left out, and kept in a message that fits', () => {
  const content = [
    { type: 'text' as const, text: 'What are these?' },
    { type: 'image' as const, mediaType: 'image/png', data: 'AAAA' },
    { type: 'file' as const, mediaType: 'application/pdf', data: 'A'.repeat(9_000) },
  ]
  expect(shortened({ role: 'user', content }, 10_000)).toEqual({ role: 'user', content })
  expect(shortened({ role: 'user', content }, 1_000)).toEqual({
    role: 'user',
    content: [
      { type: 'text', text: 'What are these?' },
      { type: 'text', text: '[AgentOS: an image is left out here]' },
      { type: 'text', text: '[AgentOS: a file is left out here]' },
    ],
  })
})
