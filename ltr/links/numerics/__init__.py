"""What links compute that have no closed form: areas by quadrature, inverses by bisection."""
