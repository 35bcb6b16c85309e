import { beforeEach, describe, expect, it } from 'vitest'
import type { StoredBatch } from './batch.ts'
import { type CommittedRow, RecentRows } from './recent-rows.ts'

let disk: Map<string, CommittedRow>
let rows: RecentRows
let reads: string[]
beforeEach(() => {
  disk = new Map()
  rows = new RecentRows(10_000)
  reads = []
})

function get(key: string): CommittedRow | undefined {
  return rows.get('p', key, () => {
    reads.push(key)
    return disk.get(key)
  })
}

function batch(op: 'put' | 'delete' | 'expire', key: string, seq: number, json: string | null = null): StoredBatch {
  return { partition: 'p', writes: [{ op, key, json, expected: null, becomes: null, expires: null, seq }] }
}

function commit(key: string, value: string | null, version: number, seq: number): StoredBatch {
  disk.set(key, { key, value, version, seq, expires: null })
  return batch(value === null ? 'delete' : 'put', key, seq, value)
}

const ok = (version: number) => ({ ok: true as const, versions: [version] })
const refused = { ok: false as const, error: { code: 'store_unavailable', message: '' } }

describe('a row that was read', () => {
  it('is not read again, and follows what is committed: written, deleted, written anew', () => {
    expect(get('a')).toBeUndefined()
    rows.settle(commit('a', '1', 1, 1), ok(1))
    expect(get('a')).toEqual(disk.get('a'))
    rows.settle(commit('a', null, 2, 2), ok(2))
    expect(get('a')).toEqual(disk.get('a'))
    // A deletion of nothing is no change, and has no sequence on disk.
    rows.settle(batch('delete', 'a', 3), ok(2))
    expect(get('a')).toEqual(disk.get('a'))
    rows.settle(commit('a', '3', 3, 4), ok(3))
    expect(get('a')).toEqual(disk.get('a'))
    expect(reads).toEqual(['a'])
  })

  it('never goes back to what was before it on disk, though the answers of commits come later', () => {
    const [first, second] = [commit('a', '1', 1, 1), commit('a', '2', 2, 2)]
    expect(get('a')?.value).toBe('2')
    rows.settle(first, ok(1))
    expect(get('a')?.value).toBe('2')
    rows.settle(second, ok(2))
    expect(get('a')?.value).toBe('2')
  })

  it('does not come back by a commit once it left, which may be older than what was read', () => {
    const [first] = [commit('a', '1', 1, 1), commit('a', '2', 2, 2)]
    expect(get('a')?.value).toBe('2')
    for (let n = 0; n < 100; n += 1) get(`other${n}`)
    rows.settle(first, ok(1))
    expect(get('a')?.value).toBe('2')
    expect(reads.filter((key) => key === 'a')).toHaveLength(2)
  })

  it('is read again after a commit that failed, of which nobody knows what it left, and after all is forgotten', () => {
    disk.set('a', { key: 'a', value: '1', version: 1, seq: 1, expires: null })
    get('a')
    rows.settle(commit('a', '2', 2, 2), refused)
    expect(get('a')?.value).toBe('2')
    disk.delete('a')
    rows.clear()
    expect(get('a')).toBeUndefined()
  })
})

describe('the rows that are kept', () => {
  it('are those used last, within their bound', () => {
    for (let n = 0; n < 8; n += 1)
      disk.set(`k${n}`, { key: `k${n}`, value: 'x'.repeat(1_000), version: 1, seq: n, expires: null })
    for (const key of ['k0', 'k1', 'k2', 'k3', 'k0', 'k4']) get(key)
    reads = []
    for (const key of ['k0', 'k2', 'k3', 'k4']) get(key)
    expect(reads).toEqual([])
    get('k1')
    expect(reads).toEqual(['k1'])
  })

  it('have no large values among them', () => {
    rows = new RecentRows(1_000_000)
    disk.set('small', { key: 'small', value: '1', version: 1, seq: 1, expires: null })
    disk.set('large', { key: 'large', value: 'x'.repeat(20_000), version: 1, seq: 2, expires: null })
    for (const key of ['small', 'large', 'small', 'large']) get(key)
    expect(reads).toEqual(['small', 'large', 'large'])
    rows.settle(commit('small', 'x'.repeat(20_000), 2, 3), ok(2))
    expect(get('small')?.version).toBe(2)
  })
})
