import { existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { EmbeddedError, linkLibraries } from '../../../src/storage/embedded/programs.ts'

describe('the links between libraries', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'stele-links-'))
    mkdirSync(join(folder, 'native', 'lib'), { recursive: true })
    writeFileSync(join(folder, 'native', 'lib', 'liba.so.60.2'), 'a')
    writeLinks(['native/lib/liba.so.60.2', 'native/lib/liba.so.60'], ['native/lib/liba.so.60.2', 'native/lib/liba.so'])
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  const writeLinks = (...links: readonly [source: string, target: string][]): void =>
    writeFileSync(join(folder, 'native', 'pg-symlinks.json'), JSON.stringify(links.map(([source, target]) => ({ source, target }))))

  it('are made where npm did not, and stay as they are where it did', () => {
    linkLibraries(folder)
    const link = join(folder, 'native', 'lib', 'liba.so.60')
    expect(readlinkSync(link)).toBe('liba.so.60.2')
    expect(readFileSync(link, 'utf8')).toBe('a')
    const { ino } = lstatSync(link)
    linkLibraries(folder)
    expect(lstatSync(link).ino).toBe(ino)
  })

  it('are said to be missing where they cannot be made', () => {
    writeLinks(['native/lib/liba.so.60.2', 'native/nowhere/liba.so'])
    expect(() => linkLibraries(folder)).toThrow(EmbeddedError)
    expect(() => linkLibraries(folder)).toThrow(`in ${folder}: run stele once as the owner of that folder`)
  })

  it('are not looked for in a package that needs none', () => {
    rmSync(join(folder, 'native', 'pg-symlinks.json'))
    linkLibraries(folder)
    expect(existsSync(join(folder, 'native', 'lib', 'liba.so'))).toBe(false)
  })
})
