package main

func (rep *report) markdown() string { return "" }
