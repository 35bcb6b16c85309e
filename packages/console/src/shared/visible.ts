import { visibleText } from '@agentos/protocol/visible-text'
import { type ComponentChildren, Fragment, options, type VNode } from 'preact'

/** Attributes that are read, or read out. */
const READ = ['title', 'aria-label', 'alt']

/**
 * From here on every text of the page is shown as what it is, whoever wrote it: names, arguments, answers and problems
 * may come from a model or a guest. What is typed in is left as it is.
 */
export function showTextVisibly(): void {
  const before = options.vnode
  options.vnode = (vnode) => {
    if (typeof vnode.type === 'string' || vnode.type === Fragment) makeVisible(vnode)
    before?.(vnode)
  }
}

function makeVisible(vnode: VNode): void {
  const props = vnode.props as Record<string, unknown> & { children?: ComponentChildren }
  if (props.children !== undefined) props.children = visibleChildren(props.children)
  for (const name of READ) if (typeof props[name] === 'string') props[name] = visibleText(props[name])
}

function visibleChildren(children: ComponentChildren): ComponentChildren {
  if (typeof children === 'string') return visibleText(children)
  return Array.isArray(children) ? children.map(visibleChildren) : children
}
