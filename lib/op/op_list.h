/* Every operator, one row each. */
