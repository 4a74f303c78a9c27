package spec

// checkDependencyCycles reports each cycle of depends and build.depends once, at
// the package of it that comes first in the alphabet. What a build needs counts,
// because a package is built on the images of what it needs.
func (c *checker) checkDependencyCycles() {
	for _, cycle := range cycles(c.dependencies) {
		c.list.Errorf("dependency-cycle", c.places[[2]string{cycle[0], cycle[1]}], "packages need each other: %s", arrows(cycle)).Hint =
			"remove one of these dependencies, or move what both need into a package of its own"
	}
}

// checkStepCycles does the same for steps that use each other.
func (c *checker) checkStepCycles() {
	uses := map[string][]string{}
	for _, name := range sortedKeys(c.cat.Steps) {
		for _, st := range c.cat.Steps[name].Steps {
			if c.cat.Steps[st.Uses] != nil {
				uses[name] = append(uses[name], st.Uses)
			}
		}
	}
	for _, cycle := range cycles(uses) {
		s := c.cat.Steps[cycle[0]]
		pos := s.Doc.Pos("steps")
		for i, st := range s.Steps {
			if st.Uses == cycle[1] {
				pos = s.Doc.Pos("steps", i, "uses")
				break
			}
		}
		c.list.Errorf("step-cycle", pos, "steps use each other: %s", arrows(cycle))
	}
}

// cycles returns the cycles of a graph: one for each edge that leads back while
// walking depth first in alphabetical order. Each begins and ends with its first
// name in the alphabet; the same cycle is not returned twice.
func cycles(edges map[string][]string) [][]string {
	const visiting, done = 1, 2
	state := map[string]int{}
	seen := map[string]bool{}
	var stack []string
	var out [][]string
	var visit func(string)
	visit = func(n string) {
		state[n] = visiting
		stack = append(stack, n)
		for _, to := range sortedSet(edges[n]) {
			switch state[to] {
			case 0:
				visit(to)
			case visiting:
				cycle := turned(stack[indexOf(stack, to):])
				if key := arrows(cycle); !seen[key] {
					seen[key] = true
					out = append(out, cycle)
				}
			}
		}
		stack = stack[:len(stack)-1]
		state[n] = done
	}
	for _, n := range sortedKeys(edges) {
		if state[n] == 0 {
			visit(n)
		}
	}
	return out
}

// turned rotates a cycle to begin with its smallest name, and closes it.
func turned(loop []string) []string {
	first := 0
	for i, n := range loop {
		if n < loop[first] {
			first = i
		}
	}
	out := append([]string(nil), loop[first:]...)
	out = append(out, loop[:first]...)
	return append(out, out[0])
}

func indexOf(list []string, s string) int {
	for i, x := range list {
		if x == s {
			return i
		}
	}
	return 0
}

func sortedSet(list []string) []string {
	set := map[string]bool{}
	for _, s := range list {
		set[s] = true
	}
	return sortedKeys(set)
}
