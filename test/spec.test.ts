import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'

const ROOT = join(import.meta.dirname, '..')
const pages = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'mirror/README.md', ...list('spec', '.md'), ...list('docs', '.md')]
const sources = ['src', 'mirror', 'bin', 'scripts', 'test'].flatMap((folder) => list(folder, '.ts')).concat('bin/stele.js')

describe('the specification', () => {
  it('has every section that the code links to', () => {
    const links = sources.flatMap((file) => [...read(file).matchAll(/\b((?:spec\/[a-z-]+|docs\/[a-z-]+|README|CONTRIBUTING)\.md)(?:#([a-z0-9-]+))?/g)].map(([, page = '', anchor]) => ({ file, page, anchor })))
    expect(links.length).toBeGreaterThan(50)
    const broken = links.filter(({ page, anchor }) => !existsSync(join(ROOT, page)) || (anchor !== undefined && !anchorsOf(page).has(anchor)))
    expect(broken.map(({ file, page, anchor }) => `${file} -> ${page}#${anchor ?? ''}`)).toEqual([])
  })

  it('has every section and file that its own pages link to', () => {
    const links = pages.flatMap((page) => [...read(page).matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)/g)].map(([, path = '', anchor]) => ({ page, path, anchor })))
    const broken = links.filter(({ page, path, anchor }) => {
      const target = path === '' ? page : relative(ROOT, resolve(ROOT, dirname(page), path))
      return !existsSync(join(ROOT, target)) || (anchor !== undefined && target.endsWith('.md') && !anchorsOf(target).has(anchor))
    })
    expect(broken.map(({ page, path, anchor }) => `${page} -> ${path}#${anchor ?? ''}`)).toEqual([])
  })
})

function anchorsOf(page: string): Set<string> {
  const headings = [...read(page).replaceAll(/^```[\s\S]*?^```/gm, '').matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => heading)
  return new Set(headings.map((heading) => heading.toLowerCase().replaceAll(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-')))
}

function list(folder: string, ending: string): string[] {
  if (!existsSync(join(ROOT, folder))) return []
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(ending))
    .map((name) => `${folder}/${name}`)
}

function read(file: string): string {
  return readFileSync(join(ROOT, file), 'utf8')
}
