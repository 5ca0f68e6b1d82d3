import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createGuard, GuardError, openGuard } from '../../src/log/guard.ts'

const FIRST = { size: 0, root: new Uint8Array(32) }
const rootOf = (n: number): Uint8Array => new Uint8Array(32).fill(n)

describe('the guard', () => {
  let folder: string
  let path: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'stele-guard-'))
    path = join(folder, 'sub', 'guard.sqlite')
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  it('remembers the last head through closing and opening', () => {
    using(createGuard(path, 'a', 'id', FIRST), (guard) => guard.record({ size: 3, root: rootOf(3) }))
    using(openGuard(path, 'a'), (guard) => {
      expect(guard.id).toBe('id')
      expect(guard.last()).toEqual({ size: 3, root: rootOf(3) })
    })
  })

  it('refuses a smaller head, and another root of the same size, and remembers what it had', () => {
    using(createGuard(path, 'a', 'id', FIRST), (guard) => {
      guard.record({ size: 5, root: rootOf(5) })
      expect(() => guard.record({ size: 4, root: rootOf(4) })).toThrow(GuardError)
      expect(() => guard.record({ size: 5, root: rootOf(6) })).toThrow(GuardError)
      expect(guard.last()).toEqual({ size: 5, root: rootOf(5) })
      guard.record({ size: 5, root: rootOf(5) })
      guard.record({ size: 2 ** 40, root: rootOf(7) })
      expect(guard.last()).toEqual({ size: 2 ** 40, root: rootOf(7) })
    })
  })

  it('is held by one process at a time, and freed when that process dies', () => {
    using(createGuard(path, 'a', 'id', FIRST), () => {
      expect(() => openGuard(path, 'a')).toThrow(/in use/)
      expect(openElsewhere()).toMatch(/in use/)
    })
    expect(openElsewhere()).toBe('opened, then killed')
    using(openGuard(path, 'a'), (guard) => expect(guard.last().size).toBe(0))
  })

  it('refuses a missing file, a file of another origin, and a file that is no guard', () => {
    expect(() => openGuard(path, 'a')).toThrow(/no guard at/)
    createGuard(path, 'a', 'id', FIRST)[Symbol.dispose]()
    expect(() => openGuard(path, 'b')).toThrow(/guard of a, not of b/)
    const other = join(folder, 'other')
    writeFileSync(other, 'something else, and long enough to be read as a page'.repeat(100))
    expect(() => openGuard(other, 'a')).toThrow(GuardError)
  })

  it('is created again only where it has recorded nothing but the first head', () => {
    createGuard(path, 'a', 'id', FIRST)[Symbol.dispose]()
    using(createGuard(path, 'a', 'another id', FIRST), (guard) => {
      expect(guard.id).toBe('id')
      guard.record({ size: 1, root: rootOf(1) })
    })
    expect(() => createGuard(path, 'a', 'another id', FIRST)).toThrow(/has signed 1 entries/)
  })

  it('leaves one file behind, which can be moved as a whole', () => {
    using(createGuard(path, 'a', 'id', FIRST), (guard) => guard.record({ size: 9, root: rootOf(9) }))
    const moved = join(folder, 'moved')
    copyFileSync(path, moved)
    using(openGuard(moved, 'a'), (guard) => expect(guard.last().size).toBe(9))
  })

  function openElsewhere(): string {
    const script = `
      import { openGuard } from ${JSON.stringify(new URL('../../src/log/guard.ts', import.meta.url).href)}
      try { openGuard(${JSON.stringify(path)}, 'a'); console.log('opened, then killed'); process.kill(process.pid, 'SIGKILL') } catch (error) { console.log(error.message) }
    `
    try {
      return execFileSync('node', ['--input-type=module', '-e', script], { encoding: 'utf8' }).trim()
    } catch (error) {
      return (error as { stdout: string }).stdout.trim()
    }
  }
})

function using<T extends Disposable>(resource: T, work: (resource: T) => void): void {
  try {
    work(resource)
  } finally {
    resource[Symbol.dispose]()
  }
}
