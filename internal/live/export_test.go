package live

// CleanUp evicts what is too much, which otherwise happens a little later.
func (l *Live) CleanUp() {
	l.tenants.CleanUp()
	l.subjects.CleanUp()
	l.nodes.CleanUp()
}
