import { describe, expect, it } from 'vitest'
import { missingSettings, Settings } from './settings.ts'

describe('the settings of Telegram', () => {
  it.each([
    ['not an address', 'is not an address'],
    ['ftp://example.com', 'must begin with https'],
    ['http://example.com', 'must begin with https'],
    ['https://user:password@example.com', 'must hold no user'],
    ['https://example.com/?token=1', 'must hold no user'],
  ])('refuse the address %s', (address, words) => {
    for (const name of ['api_base', 'public_url']) {
      const { error } = Settings.safeParse({ [name]: address })
      expect(error?.issues).toMatchObject([{ path: [name], message: expect.stringContaining(words) }])
    }
  })

  it('take an own Bot API server on this machine, and users as numbers', () => {
    const settings = Settings.parse({ api_base: 'http://127.0.0.1:8081/', owners: [42] })
    expect(settings).toMatchObject({ api_base: 'http://127.0.0.1:8081', owners: ['42'], chat_interval_ms: 1_000 })
  })

  it('name what is missing, and what Telegram would refuse', () => {
    const token = '123456:a-token-of-a-bot-0123456789'
    const webhook = Settings.parse({ public_url: 'https://bot.example.com' })
    expect(missingSettings(Settings.parse({}), { token, webhookSecret: undefined })).toEqual([])
    expect(missingSettings(webhook, { token, webhookSecret: undefined })).toEqual(['TELEGRAM_WEBHOOK_SECRET'])
    expect(missingSettings(webhook, { token, webhookSecret: 'with spaces in it' })[0]).toContain('letters, digits')
  })
})
